#include "gui/paint/paint_picture.h"

#include <QFontMetricsF>
#include <QPainter>
#include <QPdfWriter>
#include <algorithm>
#include <cmath>
#include <memory>
#include <unordered_map>

#include "core/error.h"

namespace shardscope::gui {
namespace {

QColor colour(Rgb c) { return {c.r, c.g, c.b}; }
QRectF rect_of(const PictureShape& s) { return {s.x, s.y, s.width, s.height}; }

/// Memory of an image, as 32 bits a pixel.
struct Pixels {
  uchar* bits;
  qsizetype bytes_per_line;
  int width, height;
};

/// Edges in whole device pixels, so that neighbours meet and the same picture gives the same bytes.
void fill_pixels(const Pixels& pixels, const PictureShape& s, double scale) {
  const auto edge = [scale](float at, int end) {
    return std::clamp(static_cast<int>(std::lround(at * scale)), 0, end);
  };
  const int left = edge(s.x, pixels.width), right = edge(s.x + s.width, pixels.width), top = edge(s.y, pixels.height),
            bottom = edge(s.y + s.height, pixels.height);
  const QRgb pixel = qRgb(s.colour.r, s.colour.g, s.colour.b);
  for (int y = top; y < bottom; ++y) {
    auto* line = reinterpret_cast<QRgb*>(pixels.bits + y * pixels.bytes_per_line);
    std::fill(line + left, line + right, pixel);
  }
}

void paint_texture(QPainter& painter, const PictureShape& s) {
  const QRectF rect = rect_of(s);
  const QColor dark(0, 0, 0, 115);
  switch (s.texture) {
    case Texture::kPlain:
      return;
    case Texture::kDots:
      painter.fillRect(rect, QBrush(QColor(0, 0, 0, 130), Qt::Dense6Pattern));
      return;
    case Texture::kHatch:
      painter.fillRect(rect, QBrush(QColor(255, 255, 255, 150), Qt::BDiagPattern));
      return;
    case Texture::kHeadLine:
    case Texture::kFootLine:
    case Texture::kBothLines:
      if (s.texture != Texture::kFootLine) painter.fillRect(QRectF(s.x, s.y, s.width, 2), dark);
      if (s.texture != Texture::kHeadLine) painter.fillRect(QRectF(s.x, s.y + s.height - 2, s.width, 2), dark);
  }
}

void paint_shape(QPainter& painter, const Picture& picture, const PictureShape& s) {
  switch (s.kind) {
    case PictureShape::Kind::kFill:
      painter.fillRect(rect_of(s), colour(s.colour));
      paint_texture(painter, s);
      return;
    case PictureShape::Kind::kFrame:
      painter.setPen(colour(s.colour));
      painter.drawRect(rect_of(s).adjusted(0.5, 0.5, -0.5, -0.5));
      return;
    case PictureShape::Kind::kText:
      painter.setPen(colour(s.colour));
      painter.setFont(picture_font(s.bold));
      painter.drawText(QPointF(s.x, s.y), QString::fromStdString(picture.texts[static_cast<std::size_t>(s.text)]));
  }
}

}  // namespace

QFont picture_font(bool bold) {
  QFont font(QStringLiteral("DejaVu Sans"));
  font.setPixelSize(static_cast<int>(kTextSize));
  font.setBold(bold);
  font.setHintingPreference(QFont::PreferNoHinting);
  return font;
}

TextWidth text_width() {
  struct Cache {
    QFontMetricsF plain{picture_font(false)}, bold{picture_font(true)};
    std::unordered_map<std::string, double> widths[2];
  };
  constexpr std::size_t kRemembered = 20'000;
  return [cache = std::make_shared<Cache>()](std::string_view text, bool bold) {  // shared: a function is copied
    auto& widths = cache->widths[bold ? 1 : 0];
    if (widths.size() > kRemembered) widths.clear();
    const auto [known, is_new] = widths.try_emplace(std::string(text), 0);
    const QFontMetricsF& metrics = bold ? cache->bold : cache->plain;
    if (is_new) known->second = metrics.horizontalAdvance(QString::fromStdString(known->first));
    return known->second;
  };
}

QImage paint_image(const Picture& picture, double scale) {
  QImage image(static_cast<int>(std::ceil(picture.width * scale)), static_cast<int>(std::ceil(picture.height * scale)),
               QImage::Format_RGB32);
  image.fill(colour(picture.background));
  // A painter on an image paints at once, so that each shape has its turn.
  const Pixels pixels{image.bits(), image.bytesPerLine(), image.width(), image.height()};
  std::unique_ptr<QPainter> painter;
  for (const PictureShape& s : picture.shapes) {
    if (s.kind == PictureShape::Kind::kFill) {
      fill_pixels(pixels, s, scale);
      if (s.texture == Texture::kPlain) continue;
    }
    if (!painter) {
      painter = std::make_unique<QPainter>(&image);
      painter->scale(scale, scale);
    }
    s.kind == PictureShape::Kind::kFill ? paint_texture(*painter, s) : paint_shape(*painter, picture, s);
  }
  return image;
}

void paint(QPainter& painter, const Picture& picture) {
  painter.fillRect(QRectF(0, 0, picture.width, picture.height), colour(picture.background));
  for (const PictureShape& s : picture.shapes) paint_shape(painter, picture, s);
}

void write_pdf(const Picture& picture, const std::string& path) {
  constexpr double kPointsPerPixel = 0.75;  // 96 pixels an inch
  QPdfWriter writer(QString::fromStdString(path));
  writer.setResolution(96);
  writer.setPageSize(QPageSize(QSizeF(picture.width, picture.height) * kPointsPerPixel, QPageSize::Point, QString(),
                               QPageSize::ExactMatch));
  writer.setPageMargins(QMarginsF());
  QPainter painter;
  if (!painter.begin(&writer)) throw Error(ErrorKind::kIo, path + ": cannot be written");
  paint(painter, picture);
  if (!painter.end()) throw Error(ErrorKind::kIo, path + ": cannot be written");
}

}  // namespace shardscope::gui
