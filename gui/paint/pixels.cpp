#include "gui/paint/pixels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace shardscope::gui {
namespace {

struct Box {
  int left, top, right, bottom;
};

Box box_of(const Pixels& pixels, double x, double y, double width, double height, double scale) {
  const auto edge = [scale](double at, int end) {
    return std::clamp(static_cast<int>(std::lround(at * scale)), 0, end);
  };
  return {edge(x, pixels.width), edge(y, pixels.height), edge(x + width, pixels.width),
          edge(y + height, pixels.height)};
}

QRgb rgb(Rgb c) { return qRgb(c.r, c.g, c.b); }
/// As under black at 115 of 255.
QRgb darker(QRgb c) { return qRgb(qRed(c) * 140 / 255, qGreen(c) * 140 / 255, qBlue(c) * 140 / 255); }
bool is_dot(int x, int y) { return ((x + 2 * y) & 3) == 0; }
/// As under white at 150 of 255.
QRgb lighter(QRgb c) {
  const auto mix = [](int value) { return (value * 105 + 255 * 150) / 255; };
  return qRgb(mix(qRed(c)), mix(qGreen(c)), mix(qBlue(c)));
}
bool is_hatch(int x, int y) { return ((x + y) & 7) == 7; }  // as Qt::BDiagPattern, which is not scaled

void darken(const Pixels& pixels, Box box) {
  for (int y = box.top; y < box.bottom; ++y) {
    QRgb* line = pixels.line(y);
    for (int x = box.left; x < box.right; ++x) line[x] = darker(line[x]);
  }
}

void draw_dots(const Pixels& pixels, Box box) {
  for (int y = box.top; y < box.bottom; ++y) {
    QRgb* line = pixels.line(y);
    for (int x = box.left; x < box.right; ++x) {
      if (is_dot(x, y)) line[x] = darker(line[x]);
    }
  }
}

constexpr Stack kOnes = 0x0101010101010101ULL, kHighBits = 0x8080808080808080ULL;
constexpr std::uint8_t kNone = kStackParts;  ///< no part: what was there stays

/// The part whose sum with all below it (a byte each in `sums`) is the first not below `least`.
std::uint8_t part_at(Stack sums, Stack least) {
  const Stack reached = ((sums | kHighBits) - least * kOnes) & kHighBits;
  return reached == 0 ? kNone : static_cast<std::uint8_t>(std::countr_zero(reached) >> 3);
}

/// The least sum that reaches pixel `j` from below: heights_of() rounds the same way.
Stack least_sum(int j, int height) {
  return j == 0 ? 1 : static_cast<Stack>((2 * kWholeStack * j + kWholeStack + 2 * height - 1) / (2 * height));
}

/// Colours of the parts, behind them those of what their textures draw.
std::array<QRgb, 2 * kStackParts> palette_of(const StripLooks& looks) {
  std::array<QRgb, 2 * kStackParts> palette{};
  for (std::size_t k = 0; k < looks.size(); ++k) {
    palette[k] = rgb(looks[k].colour);
    palette[k + kStackParts] = looks[k].texture == Texture::kHatch ? lighter(palette[k]) : darker(palette[k]);
  }
  return palette;
}

/// Paints the strip's scanlines from below; with textures each knows the two above and below it.
class StripPainter {
 public:
  StripPainter(const Pixels& pixels, Box box, const Strip& strip, double first, double scale)
      : pixels_(pixels), box_(box), looks_(strip.looks), palette_(palette_of(strip.looks)) {
    const auto columns = static_cast<int>(strip.columns.size());
    sums_.reserve(static_cast<std::size_t>(box.right - box.left));
    for (int x = box.left; x < box.right; ++x) {
      const int column = std::clamp(static_cast<int>((x + 0.5) / scale - first), 0, columns - 1);
      sums_.push_back(strip.columns[static_cast<std::size_t>(column)] * kOnes);
    }
  }
  void paint_plain(int height) {
    for (int j = 0; j < height; ++j) {
      QRgb* line = pixels_.line(box_.bottom - 1 - j) + box_.left;
      const Stack least = least_sum(j, height);
      for (std::size_t i = 0; i < sums_.size(); ++i) {
        if (const std::uint8_t part = part_at(sums_[i], least); part != kNone) line[i] = palette_[part];
      }
    }
  }
  void paint_textured(int height, int edge) {
    const std::size_t width = sums_.size();
    std::vector<std::uint8_t> parts(width * static_cast<std::size_t>(height + 2 * edge), kNone);
    const auto row = [&](int j) { return parts.data() + static_cast<std::size_t>(j + edge) * width; };
    for (int j = 0; j < height; ++j) {
      const Stack least = least_sum(j, height);
      std::uint8_t* out = row(j);
      for (std::size_t i = 0; i < width; ++i) out[i] = part_at(sums_[i], least);
    }
    for (int j = 0; j < height; ++j) paint_row(row(j), row(j - edge), row(j + edge), box_.bottom - 1 - j);
  }

 private:
  void paint_row(const std::uint8_t* parts, const std::uint8_t* below, const std::uint8_t* above, int y) {
    QRgb* line = pixels_.line(y) + box_.left;
    bool head[kStackParts + 1] = {}, foot[kStackParts + 1] = {}, dots[kStackParts + 1] = {},
                            hatch[kStackParts + 1] = {};
    for (std::size_t k = 0; k < looks_.size(); ++k) {
      head[k] = looks_[k].texture == Texture::kHeadLine || looks_[k].texture == Texture::kBothLines;
      foot[k] = looks_[k].texture == Texture::kFootLine || looks_[k].texture == Texture::kBothLines;
      dots[k] = looks_[k].texture == Texture::kDots;
      hatch[k] = looks_[k].texture == Texture::kHatch;
    }
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      const std::uint8_t part = parts[i];
      if (part == kNone) continue;
      const int x = box_.left + static_cast<int>(i);
      const bool textured = (head[part] && above[i] != part) || (foot[part] && below[i] != part) ||
                            (dots[part] && is_dot(x, y)) || (hatch[part] && is_hatch(x, y));
      line[i] = palette_[part + (textured ? kStackParts : 0)];
    }
  }

  const Pixels& pixels_;
  Box box_;
  const StripLooks& looks_;
  std::array<QRgb, 2 * kStackParts> palette_;
  std::vector<Stack> sums_;
};

}  // namespace

Pixels::Pixels(QImage& image)
    : bits(image.bits()), bytes_per_line(image.bytesPerLine()), width(image.width()), height(image.height()) {}

bool fill_pixels(const Pixels& pixels, const PictureShape& s, double scale) {
  const Box box = box_of(pixels, s.x, s.y, s.width, s.height, scale);
  const QRgb pixel = rgb(s.colour);
  for (int y = box.top; y < box.bottom; ++y) std::fill(pixels.line(y) + box.left, pixels.line(y) + box.right, pixel);
  const int line = std::max(1, static_cast<int>(std::lround(2 * scale)));
  const bool head = s.texture == Texture::kHeadLine || s.texture == Texture::kBothLines;
  const bool foot = s.texture == Texture::kFootLine || s.texture == Texture::kBothLines;
  if (head) darken(pixels, {box.left, box.top, box.right, std::min(box.bottom, box.top + line)});
  if (foot) darken(pixels, {box.left, std::max(box.top, box.bottom - line), box.right, box.bottom});
  if (s.texture == Texture::kDots) draw_dots(pixels, box);
  return s.texture != Texture::kHatch;
}

void strip_pixels(const Pixels& pixels, const PictureShape& s, const Strip& strip, double scale) {
  const Box box = box_of(pixels, s.x, s.y, s.width, s.height, scale);
  const int height = box.bottom - box.top;
  if (height <= 0 || box.right <= box.left) return;
  StripPainter painter(pixels, box, strip, static_cast<double>(s.x), scale);
  if (static_cast<double>(s.height) < kTexturedFrom) {
    painter.paint_plain(height);
  } else {
    painter.paint_textured(height, std::max(1, static_cast<int>(std::lround(2 * scale))));
  }
}

void cell_pixels(const Pixels& pixels, const PictureShape& s, const CellMap& map, double scale) {
  const Box box = box_of(pixels, s.x, s.y, s.width, s.height, scale);
  std::vector<QRgb> colours;
  for (const Rgb& colour : map.colours) colours.push_back(rgb(colour));
  const int width = static_cast<int>(map.cells.size());
  std::vector<int> columns;
  for (int x = box.left; x < box.right; ++x)
    columns.push_back(std::clamp(static_cast<int>((x + 0.5) / scale - static_cast<double>(s.x)), 0, width - 1));
  for (int y = box.top; y < box.bottom; ++y) {
    const int row = std::clamp(static_cast<int>((y + 0.5) / scale - static_cast<double>(s.y)), 0, map.rows() - 1);
    QRgb* line = pixels.line(y) + box.left;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (const int shade = map.shade(columns[i], row); shade != CellMap::kNothing)
        line[i] = colours[static_cast<std::size_t>(shade)];
    }
  }
}

}  // namespace shardscope::gui
