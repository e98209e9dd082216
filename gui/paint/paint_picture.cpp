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

QBrush dots_brush() { return {QColor(0, 0, 0, 130), Qt::Dense6Pattern}; }
QBrush hatch_brush() { return {QColor(255, 255, 255, 150), Qt::BDiagPattern}; }

void paint_texture(QPainter& painter, const PictureShape& s) {
  const QRectF rect = rect_of(s);
  const QColor dark(0, 0, 0, 115);
  switch (s.texture) {
    case Texture::kPlain:
      return;
    case Texture::kDots:
      painter.fillRect(rect, dots_brush());
      return;
    case Texture::kHatch:
      painter.fillRect(rect, hatch_brush());
      return;
    case Texture::kHeadLine:
    case Texture::kFootLine:
    case Texture::kBothLines:
      if (s.texture != Texture::kFootLine) painter.fillRect(QRectF(s.x, s.y, s.width, 2), dark);
      if (s.texture != Texture::kHeadLine) painter.fillRect(QRectF(s.x, s.y + s.height - 2, s.width, 2), dark);
  }
}

QPolygonF polygon_of(const Picture& picture, const PictureShape& s) {
  QPolygonF polygon;
  for (const Point& p : picture.points_of(s)) polygon << QPointF(p.x, p.y);
  return polygon;
}

QPen pen_of(const PictureShape& s) {
  QPen pen(colour(s.colour), s.thickness, Qt::SolidLine, Qt::FlatCap, Qt::MiterJoin);
  const double dash = kDash / s.thickness;  // a pen's pattern counts in its widths
  if (s.dashed) pen.setDashPattern({dash, dash});
  return pen;
}

/// A line along an axis is sharp; others are smooth.
bool along_an_axis(std::span<const Point> points) {
  return points.size() == 2 && (points[0].x == points[1].x || points[0].y == points[1].y);
}

void paint_line(QPainter& painter, const Picture& picture, const PictureShape& s) {
  painter.setRenderHint(QPainter::Antialiasing, !along_an_axis(picture.points_of(s)));
  painter.setPen(pen_of(s));
  painter.drawPolyline(polygon_of(picture, s));
  painter.setRenderHint(QPainter::Antialiasing, false);
}

void paint_polygon(QPainter& painter, const Picture& picture, const PictureShape& s) {
  painter.setPen(Qt::NoPen);  // and not smooth, so that neighbours meet without a seam
  const QPolygonF polygon = polygon_of(picture, s);
  const auto fill = [&](const QBrush& brush) {
    painter.setBrush(brush);
    painter.drawPolygon(polygon);
  };
  fill(colour(s.colour));
  if (s.texture == Texture::kDots) fill(dots_brush());
  if (s.texture == Texture::kHatch) fill(hatch_brush());
}

void paint_disc(QPainter& painter, const PictureShape& s) {
  painter.setRenderHint(QPainter::Antialiasing, true);
  painter.setPen(s.hollow ? QPen(colour(s.colour), s.thickness) : QPen(Qt::NoPen));
  painter.setBrush(s.hollow ? QBrush(Qt::NoBrush) : QBrush(colour(s.colour)));
  const double radius = s.hollow ? s.radius() - s.thickness / 2 : s.radius();
  painter.drawEllipse(QPointF(s.x, s.y), radius, radius);
  painter.setRenderHint(QPainter::Antialiasing, false);
}

void paint_text(QPainter& painter, const Picture& picture, const PictureShape& s) {
  const QString text = QString::fromStdString(picture.texts[static_cast<std::size_t>(s.text)]);
  painter.setPen(colour(s.colour));
  painter.setFont(picture_font(s.bold));
  double before = 0;
  if (s.anchor != TextAnchor::kStart) before = QFontMetricsF(painter.font()).horizontalAdvance(text);
  if (s.anchor == TextAnchor::kMiddle) before /= 2;
  if (!s.upward) {
    painter.drawText(QPointF(s.x - before, s.y), text);
    return;
  }
  const QTransform usual = painter.transform();
  painter.translate(s.x, s.y);
  painter.rotate(-90);
  painter.drawText(QPointF(-before, 0), text);
  painter.setTransform(usual);
}

void paint_shape(QPainter& painter, const Picture& picture, const PictureShape& s) {
  switch (s.kind) {
    case PictureShape::Kind::kFill:
      painter.fillRect(rect_of(s), colour(s.colour));
      paint_texture(painter, s);
      return;
    case PictureShape::Kind::kFrame:
      painter.setBrush(Qt::NoBrush);
      painter.setPen(colour(s.colour));
      painter.drawRect(rect_of(s).adjusted(0.5, 0.5, -0.5, -0.5));
      return;
    case PictureShape::Kind::kText:
      return paint_text(painter, picture, s);
    case PictureShape::Kind::kLine:
      return paint_line(painter, picture, s);
    case PictureShape::Kind::kPolygon:
      return paint_polygon(painter, picture, s);
    case PictureShape::Kind::kDisc:
      return paint_disc(painter, s);
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
