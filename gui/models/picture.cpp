#include "gui/models/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/xml_text.h"

namespace shardscope::gui {
namespace {

std::string hex(Rgb c) { return fmt::format("#{:02x}{:02x}{:02x}", c.r, c.g, c.b); }

std::string rect_svg(const PictureShape& s, const std::string& paint) {
  return fmt::format("<rect x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" {}/>\n", s.x, s.y, s.width, s.height,
                     paint);
}

std::string texture_svg(const PictureShape& s) {
  PictureShape line = s;
  line.height = 2;
  std::string out;
  if (s.texture == Texture::kDots) out += rect_svg(s, "fill=\"url(#dots)\"");
  if (s.texture == Texture::kHatch) out += rect_svg(s, "fill=\"url(#hatch)\"");
  if (s.texture == Texture::kHeadLine || s.texture == Texture::kBothLines)
    out += rect_svg(line, "fill=\"#000\" fill-opacity=\"0.45\"");
  line.y = s.y + s.height - 2;
  if (s.texture == Texture::kFootLine || s.texture == Texture::kBothLines)
    out += rect_svg(line, "fill=\"#000\" fill-opacity=\"0.45\"");
  return out;
}

std::string text_svg(const Picture& picture, const PictureShape& s) {
  constexpr const char* kAnchors[] = {"", " text-anchor=\"middle\"", " text-anchor=\"end\""};
  const std::string turn = s.upward ? fmt::format(" transform=\"rotate(-90 {:g} {:g})\"", s.x, s.y) : "";
  return fmt::format("<text x=\"{:g}\" y=\"{:g}\" fill=\"{}\"{}{}{}>{}</text>\n", s.x, s.y, hex(s.colour),
                     s.bold ? " font-weight=\"bold\"" : "", kAnchors[static_cast<int>(s.anchor)], turn,
                     escape_xml(picture.texts[static_cast<std::size_t>(s.text)]));
}

std::string points_svg(const Picture& picture, const PictureShape& s) {
  std::string points;
  for (const Point& p : picture.points_of(s)) points += fmt::format("{}{:g},{:g}", points.empty() ? "" : " ", p.x, p.y);
  return points;
}

std::string line_svg(const Picture& picture, const PictureShape& s) {
  return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{:g}\"{}/>\n",
                     points_svg(picture, s), hex(s.colour), s.thickness,
                     s.dashed ? fmt::format(" stroke-dasharray=\"{0:g} {0:g}\"", kDash) : "");
}

std::string polygon_svg(const Picture& picture, const PictureShape& s) {
  const auto filled = [points = points_svg(picture, s)](const std::string& paint) {
    return "<polygon points=\"" + points + "\" fill=\"" + paint + "\"/>\n";
  };
  std::string out = filled(hex(s.colour));
  if (s.texture == Texture::kDots) out += filled("url(#dots)");
  if (s.texture == Texture::kHatch) out += filled("url(#hatch)");
  return out;
}

std::string disc_svg(const PictureShape& s) {
  const float radius = s.hollow ? s.radius() - s.thickness / 2 : s.radius();
  const std::string paint =
      s.hollow ? fmt::format("fill=\"none\" stroke=\"{}\" stroke-width=\"{:g}\"", hex(s.colour), s.thickness)
               : "fill=\"" + hex(s.colour) + "\"";
  return fmt::format("<circle cx=\"{:g}\" cy=\"{:g}\" r=\"{:g}\" {}/>\n", s.x, s.y, radius, paint);
}

/// Neighbours that are equal become one rectangle for each part.
std::string strip_svg(const Picture& picture, const PictureShape& s) {
  const Strip& strip = picture.strips[static_cast<std::size_t>(s.text)];
  std::string out;
  for (std::size_t first = 0, next; first < strip.columns.size(); first = next) {
    for (next = first + 1; next < strip.columns.size() && strip.columns[next] == strip.columns[first];) ++next;
    float y = s.y + s.height;
    const auto heights = heights_of(strip.columns[first], static_cast<int>(s.height));
    for (std::size_t part = 0; part < heights.size(); ++part) {
      if (heights[part] == 0) continue;
      PictureShape rect;
      rect.x = s.x + static_cast<float>(first);
      rect.height = static_cast<float>(heights[part]);
      rect.y = y -= rect.height;
      rect.width = static_cast<float>(next - first);
      if (static_cast<double>(rect.height) >= kTexturedFrom) rect.texture = strip.looks[part].texture;
      out += rect_svg(rect, "fill=\"" + hex(strip.looks[part].colour) + "\"") + texture_svg(rect);
    }
  }
  return out;
}

std::string cells_svg(const Picture& picture, const PictureShape& s) {
  std::string out;
  for_each_run(picture.maps[static_cast<std::size_t>(s.text)], s.x, s.y,
               [&](const PictureShape& rect) { out += rect_svg(rect, "fill=\"" + hex(rect.colour) + "\""); });
  return out;
}

std::string shape_svg(const Picture& picture, const PictureShape& s) {
  switch (s.kind) {
    case PictureShape::Kind::kFill:
      return rect_svg(s, "fill=\"" + hex(s.colour) + "\"") + texture_svg(s);
    case PictureShape::Kind::kFrame:
      return fmt::format(
          "<rect x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" fill=\"none\" stroke=\"{}\" "
          "stroke-width=\"1\"/>\n",
          s.x + 0.5, s.y + 0.5, s.width - 1, s.height - 1, hex(s.colour));
    case PictureShape::Kind::kText:
      return text_svg(picture, s);
    case PictureShape::Kind::kLine:
      return line_svg(picture, s);
    case PictureShape::Kind::kPolygon:
      return polygon_svg(picture, s);
    case PictureShape::Kind::kStrip:
      return strip_svg(picture, s);
    case PictureShape::Kind::kCells:
      return cells_svg(picture, s);
    case PictureShape::Kind::kDisc:
      return disc_svg(s);
  }
  return {};
}

constexpr const char* kPatterns =
    "<defs><pattern id=\"dots\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\"><rect width=\"2\" "
    "height=\"2\" "
    "fill=\"#000\" fill-opacity=\"0.4\"/></pattern><pattern id=\"hatch\" width=\"6\" height=\"6\" "
    "patternUnits=\"userSpaceOnUse\"><path d=\"M0 6L6 0\" stroke=\"#fff\" stroke-opacity=\"0.5\"/></pattern></defs>\n";

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

PictureShape& Picture::add(PictureShape::Kind kind, Rgb colour, double x, double y, double w, double h) {
  PictureShape& s = shapes.emplace_back();
  s.kind = kind;
  s.colour = colour;
  s.x = static_cast<float>(x);
  s.y = static_cast<float>(y);
  s.width = static_cast<float>(w);
  s.height = static_cast<float>(h);
  return s;
}

void Picture::fill(double x, double y, double w, double h, Rgb colour, Texture texture) {
  if (!(w > 0 && h > 0)) return;
  add(PictureShape::Kind::kFill, colour, x, y, w, h).texture = texture;
}

void Picture::frame(double x, double y, double w, double h, Rgb colour) {
  if (!(w >= 1 && h >= 1)) return;
  add(PictureShape::Kind::kFrame, colour, x, y, w, h);
}

namespace {

std::string shortened(std::string text) {
  if (text.size() <= kLongestText) return text;
  std::size_t end = kLongestText;
  while (end > 0 && continues_character(text[end])) --end;
  text.resize(end);
  return text + "…";
}

}  // namespace

void Picture::text(double x, double baseline, std::string text, Rgb colour, bool bold, TextAnchor anchor) {
  if (text.empty()) return;
  PictureShape& s = add(PictureShape::Kind::kText, colour, x, baseline, 0, 0);
  s.bold = bold;
  s.anchor = anchor;
  s.text = static_cast<std::int32_t>(texts.size());
  texts.push_back(shortened(std::move(text)));
}

void Picture::text_upward(double x, double y, std::string text, Rgb colour, TextAnchor anchor) {
  if (text.empty()) return;
  this->text(x, y, std::move(text), colour, false, anchor);
  shapes.back().upward = true;
}

void Picture::add_points(PictureShape::Kind kind, std::span<const Point> through, PictureShape look,
                         std::size_t fewest) {
  const auto is_number = [](Point p) { return std::isfinite(p.x) && std::isfinite(p.y); };
  if (through.size() < fewest || !std::all_of(through.begin(), through.end(), is_number)) return;
  look.kind = kind;
  look.first = static_cast<std::int32_t>(points.size());
  look.points = static_cast<std::int32_t>(through.size());
  points.insert(points.end(), through.begin(), through.end());
  shapes.push_back(look);
}

void Picture::line(double x0, double y0, double x1, double y1, Rgb colour, LineLook look) {
  const Point ends[] = {{static_cast<float>(x0), static_cast<float>(y0)},
                        {static_cast<float>(x1), static_cast<float>(y1)}};
  line(ends, colour, look);
}

void Picture::line(std::span<const Point> through, Rgb colour, LineLook look) {
  PictureShape s;
  s.colour = colour;
  s.dashed = look.dashed;
  s.thickness = static_cast<float>(look.width);
  add_points(PictureShape::Kind::kLine, through, s, 2);
}

void Picture::polygon(std::span<const Point> corners, Rgb colour, Texture texture) {
  PictureShape s;
  s.colour = colour;
  s.texture = texture;
  add_points(PictureShape::Kind::kPolygon, corners, s, 3);
}

void Picture::disc(double x, double y, double radius, Rgb colour) {
  if (!(std::isfinite(x) && std::isfinite(y) && radius > 0)) return;
  add(PictureShape::Kind::kDisc, colour, x, y, 2 * radius, 2 * radius);
}

void Picture::ring(double x, double y, double radius, Rgb colour, double thickness) {
  if (!(std::isfinite(x) && std::isfinite(y) && radius > 0 && thickness > 0)) return;
  PictureShape& s = add(PictureShape::Kind::kDisc, colour, x, y, 2 * radius, 2 * radius);
  s.hollow = true;
  s.thickness = static_cast<float>(thickness);
}

std::span<const Point> Picture::points_of(const PictureShape& shape) const {
  return std::span(points).subspan(static_cast<std::size_t>(shape.first), static_cast<std::size_t>(shape.points));
}

void Picture::strip(double x, double y, double h, std::vector<Stack> columns, const StripLooks& looks) {
  const auto empty = [](Stack stack) { return stack == 0; };
  if (!(h >= 1) || std::all_of(columns.begin(), columns.end(), empty)) return;
  PictureShape& shape = add(PictureShape::Kind::kStrip, {}, x, y, static_cast<double>(columns.size()), h);
  shape.text = static_cast<std::int32_t>(strips.size());
  strips.push_back({std::move(columns), looks});
}

void Picture::cells(double x, double y, CellMap map) {
  if (map.cells.empty() || map.rows() == 0) return;
  const auto wide = static_cast<double>(map.cells.size());
  add(PictureShape::Kind::kCells, {}, x, y, wide, map.rows()).text = static_cast<std::int32_t>(maps.size());
  maps.push_back(std::move(map));
}

void for_each_run(const CellMap& map, float x, float y, const std::function<void(const PictureShape&)>& draw) {
  const int width = static_cast<int>(map.cells.size());
  for (int row = 0; row < map.rows(); ++row) {
    for (int from = 0, to; from < width; from = to) {
      const int shade = map.shade(from, row);
      for (to = from + 1; to < width && map.shade(to, row) == shade;) ++to;
      if (shade == CellMap::kNothing) continue;
      PictureShape rect;
      rect.colour = map.colours[static_cast<std::size_t>(shade)];
      rect.x = x + static_cast<float>(from);
      rect.y = y + static_cast<float>(row);
      rect.width = static_cast<float>(to - from);
      rect.height = 1;
      draw(rect);
    }
  }
}

void Picture::append(const Picture& other) {
  for (PictureShape shape : other.shapes) {
    if (shape.kind == PictureShape::Kind::kStrip) shape.text += static_cast<std::int32_t>(strips.size());
    if (shape.kind == PictureShape::Kind::kCells) shape.text += static_cast<std::int32_t>(maps.size());
    if (shape.kind == PictureShape::Kind::kText) shape.text += static_cast<std::int32_t>(texts.size());
    shape.first += static_cast<std::int32_t>(points.size());
    shapes.push_back(shape);
  }
  texts.insert(texts.end(), other.texts.begin(), other.texts.end());
  points.insert(points.end(), other.points.begin(), other.points.end());
  strips.insert(strips.end(), other.strips.begin(), other.strips.end());
  maps.insert(maps.end(), other.maps.begin(), other.maps.end());
}

Stack make_stack(const std::array<float, kStackParts>& shares) {
  constexpr float kNothing = 0.002F;
  Stack stack = 0;
  float below = 0;
  int drawn = 0;
  for (std::size_t part = 0; part < shares.size(); ++part) {
    below = std::min(1.0F, below + shares[part]);
    const int edge = static_cast<int>(std::lround(below * kWholeStack));
    stack |= static_cast<Stack>(edge - drawn) << (8 * part);
    drawn = edge;
  }
  if (drawn > 0 || below < kNothing) return stack;
  const auto most = std::max_element(shares.begin(), shares.end()) - shares.begin();
  return Stack{1} << (8 * most);
}

std::array<int, kStackParts> heights_of(Stack stack, int height) {
  std::array<int, kStackParts> heights{};
  int below = 0, drawn = 0;
  for (std::size_t part = 0; part < heights.size(); ++part) {
    below += static_cast<int>(stack >> (8 * part) & 0xFF);
    const int edge = std::max(below > 0 ? 1 : 0, (2 * below * height + kWholeStack) / (2 * kWholeStack));
    heights[part] = std::min(edge, height) - drawn;
    drawn += heights[part];
  }
  return heights;
}

std::string elide(const std::string& whole, double width, const TextWidth& measure, bool bold) {
  std::string text = shortened(whole);
  if (measure(text, bold) <= width) return text;
  constexpr std::size_t kFewestLetters = 2;
  std::size_t fits = 0, above = text.size();  // bytes
  while (fits + 1 < above) {
    const std::size_t middle = (fits + above) / 2;
    (measure(text.substr(0, middle) + "…", bold) <= width ? fits : above) = middle;
  }
  while (fits > 0 && continues_character(text[fits])) --fits;
  return fits < kFewestLetters ? "" : text.substr(0, fits) + "…";
}

namespace {

/// A word that is longer than a line, in pieces.
std::vector<std::string> pieces_of(const std::string& word, double width, const TextWidth& measure) {
  std::vector<std::string> pieces(1);
  for (std::size_t at = 0; at < word.size();) {
    std::size_t end = at + 1;
    while (end < word.size() && continues_character(word[end])) ++end;
    const std::string letter = word.substr(at, end - at);
    if (!pieces.back().empty() && measure(pieces.back() + letter, false) > width) pieces.emplace_back();
    pieces.back() += letter;
    at = end;
  }
  return pieces;
}

}  // namespace

std::vector<std::string> wrap(const std::string& text, double width, const TextWidth& measure) {
  std::vector<std::string> lines;
  std::istringstream words(text);
  std::string line, word;
  while (words >> word) {
    const std::string longer = line.empty() ? word : line + " " + word;
    const bool belongs = word.size() == 1;  // "$137.3 k": a unit stays with its number
    if (belongs || measure(longer, false) <= width) {
      line = longer;
      continue;
    }
    if (!line.empty()) lines.push_back(std::move(line));
    std::vector<std::string> pieces = pieces_of(word, width, measure);
    line = std::move(pieces.back());
    pieces.pop_back();
    for (std::string& piece : pieces) lines.push_back(std::move(piece));
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

void draw_paragraph(Picture& picture, double x, double baseline, double width, const std::string& text, Rgb colour,
                    const TextWidth& measure) {
  constexpr double kLineHeight = 18;
  for (std::string& line : wrap(shortened(text), width, measure)) {
    picture.text(x, baseline, std::move(line), colour);
    baseline += kLineHeight;
  }
}

std::string to_svg(const Picture& picture) {
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" "
      "font-family=\"DejaVu Sans, sans-serif\" font-size=\"{2:g}\">\n{3}<rect width=\"100%\" height=\"100%\" "
      "fill=\"{4}\"/>\n",
      picture.width, picture.height, kTextSize, kPatterns, hex(picture.background));
  for (const PictureShape& shape : picture.shapes) svg += shape_svg(picture, shape);
  return svg + "</svg>\n";
}

}  // namespace shardscope::gui
