#include "gui/paint/paint_picture.h"

#include <QFontMetricsF>
#include <QPainter>
#include <QPdfWriter>
#include <algorithm>
#include <cmath>
#include <memory>
#include <unordered_map>

#include "core/error.h"
#include "gui/paint/pixels.h"

namespace shardscope::gui {
namespace {

QColor colour(Rgb c) { return {c.r, c.g, c.b}; }
QRectF rect_of(const PictureShape& s) { return {s.x, s.y, s.width, s.height}; }

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

/// As rectangles: for devices without pixels.
void paint_strip(QPainter& painter, const Picture& picture, const PictureShape& s) {
  const Strip& strip = picture.strips[static_cast<std::size_t>(s.text)];
  for (std::size_t first = 0, next; first < strip.columns.size(); first = next) {
    for (next = first + 1; next < strip.columns.size() && strip.columns[next] == strip.columns[first];) ++next;
    float y = s.y + s.height;
    const auto heights = heights_of(strip.columns[first], static_cast<int>(s.height));
    for (std::size_t part = 0; part < heights.size(); ++part) {
      if (heights[part] == 0) continue;
      PictureShape rect;
      rect.colour = strip.looks[part].colour;
      rect.x = s.x + static_cast<float>(first);
      rect.height = static_cast<float>(heights[part]);
      rect.y = y -= rect.height;
      rect.width = static_cast<float>(next - first);
      if (static_cast<double>(rect.height) >= kTexturedFrom) rect.texture = strip.looks[part].texture;
      painter.fillRect(rect_of(rect), colour(rect.colour));
      paint_texture(painter, rect);
    }
  }
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
    case PictureShape::Kind::kStrip:
      return paint_strip(painter, picture, s);
    case PictureShape::Kind::kCells:
      return for_each_run(picture.maps[static_cast<std::size_t>(s.text)], s.x, s.y,
                          [&](const PictureShape& rect) { painter.fillRect(rect_of(rect), colour(rect.colour)); });
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

/// Images of texts, by text, look and scale.
struct ImagePainter::Texts {
  static constexpr std::size_t kMost = 4000;
  struct Key {
    std::string text;
    QRgb colour;
    bool bold;
    double scale;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& k) const {
      return std::hash<std::string>()(k.text) ^ k.colour * 31U ^ (k.bold ? 1U : 0U);
    }
  };
  std::unordered_map<Key, QImage, Hash> images;

  /// Two pixels of room at the left; the baseline is kTextSize + 1 below the top.
  const QImage& image_of(const std::string& text, Rgb look, bool bold, double scale) {
    if (images.size() > kMost) images.clear();
    QImage& image = images[{text, qRgb(look.r, look.g, look.b), bold, scale}];
    if (!image.isNull()) return image;
    const QString shown = QString::fromStdString(text);
    const double width = QFontMetricsF(picture_font(bold)).horizontalAdvance(shown) + 4;
    image = QImage(static_cast<int>(std::ceil(width * scale)), static_cast<int>(std::ceil((kTextSize + 6) * scale)),
                   QImage::Format_ARGB32_Premultiplied);
    image.fill(Qt::transparent);
    QPainter painter(&image);
    painter.scale(scale, scale);
    painter.setFont(picture_font(bold));
    painter.setPen(colour(look));
    painter.drawText(QPointF(2, kTextSize + 1), shown);
    return image;
  }
};

ImagePainter::ImagePainter() : texts_(std::make_unique<Texts>()) {}
ImagePainter::~ImagePainter() = default;

QImage ImagePainter::paint(const Picture& picture, double scale) {
  QImage image(static_cast<int>(std::ceil(picture.width * scale)), static_cast<int>(std::ceil(picture.height * scale)),
               QImage::Format_RGB32);
  image.fill(colour(picture.background));
  paint_onto(image, picture, scale);
  return image;
}

void ImagePainter::paint_onto(QImage& image, const Picture& picture, double scale, double x, double y) {
  // A painter on an image paints at once, so that each shape has its turn.
  const Pixels pixels(image);
  std::unique_ptr<QPainter> painter;
  const auto use_painter = [&]() -> QPainter& {
    if (!painter) {
      painter = std::make_unique<QPainter>(&image);
      painter->scale(scale, scale);
    }
    return *painter;
  };
  for (PictureShape s : picture.shapes) {
    if (s.points == 0) s.x += static_cast<float>(x), s.y += static_cast<float>(y);
    if (s.kind == PictureShape::Kind::kFill) {
      if (!fill_pixels(pixels, s, scale)) paint_texture(use_painter(), s);
    } else if (s.kind == PictureShape::Kind::kStrip) {
      strip_pixels(pixels, s, picture.strips[static_cast<std::size_t>(s.text)], scale);
    } else if (s.kind == PictureShape::Kind::kCells) {
      cell_pixels(pixels, s, picture.maps[static_cast<std::size_t>(s.text)], scale);
    } else if (s.kind == PictureShape::Kind::kText && s.anchor == TextAnchor::kStart && !s.upward) {
      const std::string& text = picture.texts[static_cast<std::size_t>(s.text)];
      const QImage& label = texts_->image_of(text, s.colour, s.bold, scale);
      const QPointF at(std::round(static_cast<double>(s.x - 2) * scale),
                       std::round((static_cast<double>(s.y) - kTextSize - 1) * scale));
      use_painter().save();
      painter->resetTransform();
      painter->drawImage(at, label);
      painter->restore();
    } else {
      if (s.points > 0) use_painter().translate(x, y);
      paint_shape(use_painter(), picture, s);
      if (s.points > 0) painter->translate(-x, -y);
    }
  }
}

QImage paint_image(const Picture& picture, double scale) { return ImagePainter().paint(picture, scale); }

void paint(QPainter& painter, const Picture& picture) {
  painter.fillRect(QRectF(0, 0, picture.width, picture.height), colour(picture.background));
  paint_over(painter, picture);
}

void paint_over(QPainter& painter, const Picture& picture) {
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
