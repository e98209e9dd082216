#include "gui/paint/paint_picture.h"

#include <gtest/gtest.h>

#include <QFile>
#include <QPainter>
#include <QTemporaryDir>

#include "core/error.h"

namespace shardscope::gui {
namespace {

Picture sample() {
  Picture picture(80, 40, {255, 255, 255});
  picture.fill(10, 5, 20, 10, kBlue);
  picture.frame(40, 5, 10, 10, kVermilion);
  picture.text(5, 35, "text", {0, 0, 0});
  picture.fill(20, 5, 10, 10, kGreen);  // covers half of the first, after a painter has been at work
  picture.fill(60, 5, 16, 16, kGrey, Texture::kDots);
  return picture;
}

TEST(PaintPicture, ShapesAreWhereTheyShouldBeAtEveryScale) {
  for (double scale : {1.0, 1.5, 2.0}) {
    const QImage image = paint_image(sample(), scale);
    const auto at = [&](double x, double y) { return image.pixel(int(x * scale), int(y * scale)); };
    EXPECT_EQ(image.width(), int(80 * scale));
    EXPECT_EQ(at(12, 8), qRgb(kBlue.r, kBlue.g, kBlue.b));
    EXPECT_EQ(at(22, 8), qRgb(kGreen.r, kGreen.g, kGreen.b)) << "the later shape is on top";
    EXPECT_EQ(at(35, 8), qRgb(255, 255, 255));
    EXPECT_EQ(at(45, 10), qRgb(255, 255, 255)) << "a frame is empty inside";
    int dark = 0;
    for (int x = int(60 * scale); x < int(76 * scale); ++x) {
      for (int y = int(5 * scale); y < int(20 * scale); ++y) dark += qGray(image.pixel(x, y)) < 120 ? 1 : 0;
    }
    EXPECT_GT(dark, 0) << "dots";
  }
}

TEST(PaintPicture, TheSamePictureIsTheSameBytes) { EXPECT_EQ(paint_image(sample(), 1), paint_image(sample(), 1)); }

TEST(PaintPicture, APainterPaintsTheSameFills) {
  QImage image(80, 40, QImage::Format_RGB32);
  QPainter painter(&image);
  paint(painter, sample());
  painter.end();
  const QImage fast = paint_image(sample(), 1);
  for (int x = 0; x < 58; ++x) EXPECT_EQ(image.pixel(x, 8), fast.pixel(x, 8)) << x;
}

Picture drawn() {
  Picture picture(80, 60, {255, 255, 255});
  picture.line(10, 5, 10, 55, kBlue, {2, false});
  picture.line(20, 5, 20, 55, kBlue, {2, true});
  const Point triangle[] = {{30, 10}, {50, 10}, {30, 50}};
  picture.polygon(triangle, kGreen);
  picture.disc(60, 20, 8, kVermilion);
  picture.ring(60, 45, 8, kVermilion, 2);
  return picture;
}

/// Which of the pixels along a line, a device pixel apart, are of the colour.
int count(const QImage& image, QPoint from, QPoint step, int steps, Rgb colour) {
  int found = 0;
  for (int i = 0; i < steps; ++i) found += image.pixel(from + i * step) == qRgb(colour.r, colour.g, colour.b) ? 1 : 0;
  return found;
}

TEST(PaintPicture, LinesPolygonsAndDiscsAreWhereTheyShouldBe) {
  for (int scale : {1, 2}) {
    const QImage image = paint_image(drawn(), scale);
    const QPoint down(0, 1), right(1, 0);
    EXPECT_EQ(count(image, QPoint(10, 5) * scale, down, 50 * scale, kBlue), 50 * scale);
    EXPECT_EQ(count(image, QPoint(5, 30) * scale, right, 10 * scale, kBlue), 2 * scale) << "sharp: of one colour";
    EXPECT_NEAR(count(image, QPoint(20, 5) * scale, down, 50 * scale, kBlue), 26 * scale, 2 * scale) << "dashed";
    const auto at = [&](int x, int y) { return image.pixel(x * scale, y * scale); };
    EXPECT_EQ(at(32, 12), qRgb(kGreen.r, kGreen.g, kGreen.b));
    EXPECT_EQ(at(48, 40), qRgb(255, 255, 255)) << "beyond the long side";
    EXPECT_EQ(at(60, 20), qRgb(kVermilion.r, kVermilion.g, kVermilion.b));
    EXPECT_EQ(at(60, 45), qRgb(255, 255, 255)) << "hollow";
    EXPECT_EQ(at(60, 38), qRgb(kVermilion.r, kVermilion.g, kVermilion.b)) << "its rim";
    EXPECT_EQ(at(53, 13), qRgb(255, 255, 255)) << "round";
  }
}

TEST(PaintPicture, TextsEndOrRunUpwardWhereTheyShould) {
  Picture picture(100, 100, {255, 255, 255});
  picture.text(95, 20, "right", {0, 0, 0}, false, TextAnchor::kEnd);
  picture.text_upward(15, 95, "from below", {0, 0, 0}, TextAnchor::kStart);
  const QImage image = paint_image(picture, 1);
  const auto ink = [&](const QRect& in) {
    int dark = 0;
    for (int y = in.top(); y <= in.bottom(); ++y)
      for (int x = in.left(); x <= in.right(); ++x) dark += qGray(image.pixel(x, y)) < 128 ? 1 : 0;
    return dark;
  };
  EXPECT_GT(ink({60, 5, 36, 20}), 20);
  EXPECT_EQ(ink({96, 0, 4, 100}), 0);
  EXPECT_GT(ink({2, 35, 18, 60}), 30);
  EXPECT_EQ(ink({20, 30, 40, 70}), 0) << "nothing beside the upright text";
}

TEST(PaintPicture, AFrameAfterADiscIsStillEmpty) {
  Picture picture(40, 20, {255, 255, 255});
  picture.disc(10, 10, 5, kBlue);
  picture.frame(20, 2, 16, 16, kGreen);
  EXPECT_EQ(paint_image(picture, 1).pixel(28, 10), qRgb(255, 255, 255));
}

/// A strip's columns on the fast way and through a painter: the same parts at the same heights.
TEST(PaintPicture, AStripIsTheSamePixelsAsItsRectangles) {
  StripLooks looks{};
  const Rgb colours[] = {kBlue, kGreen, kOrange, kSky, kYellow, kVermilion, kPurple, kGrey};
  for (std::size_t k = 0; k < looks.size(); ++k) looks[k].colour = colours[k];
  std::vector<Stack> columns;
  for (int i = 0; i < 60; ++i) {
    std::array<float, kStackParts> shares{};
    for (int k = 0; k < kStackParts; ++k) shares[std::size_t(k)] = float((i * 7 + k * 13) % 10) / 50.0F;
    columns.push_back(make_stack(shares));
  }
  columns.push_back(make_stack({0, 0, 0.003F}));
  for (int height : {1, 2, 4, 7, 18, 34}) {
    Picture picture(80, 40, {255, 255, 255});
    picture.strip(5, 3, height, columns, looks);
    const QImage fast = paint_image(picture, 1);
    QImage slow(80, 40, QImage::Format_RGB32);
    QPainter painter(&slow);
    paint(painter, picture);
    painter.end();
    EXPECT_EQ(fast, slow) << height;
    EXPECT_EQ(fast.pixel(65, 3 + height - 1), qRgb(kOrange.r, kOrange.g, kOrange.b)) << "little is not nothing";
  }
}

TEST(PaintPicture, APredictedStripIsHatchedLikeItsRectangles) {
  StripLooks looks{};
  looks[0] = {kBlue, Texture::kHatch};
  Picture picture(80, 40, {255, 255, 255});
  picture.strip(5, 3, 30, std::vector<Stack>(60, make_stack({0.8F})), looks);
  for (double scale : {1.0, 2.0}) {
    const QImage fast = paint_image(picture, scale);
    QImage slow(fast.size(), QImage::Format_RGB32);
    QPainter painter(&slow);
    painter.scale(scale, scale);
    paint(painter, picture);
    painter.end();
    int light = 0;
    for (int y = 0; y < fast.height(); ++y) {
      for (int x = 0; x < fast.width(); ++x) {
        EXPECT_EQ(fast.pixelColor(x, y).blue() / 8, slow.pixelColor(x, y).blue() / 8)
            << x << ", " << y << " x" << scale;
        light += fast.pixelColor(x, y).red() > 100 && fast.pixelColor(x, y).red() < 200 ? 1 : 0;
      }
    }
    EXPECT_GT(light, 100);
  }
}

TEST(PaintPicture, AMapOfCellsIsTheSamePixelsAsItsRectangles) {
  CellMap map;
  map.columns = 7;
  for (int x = 0; x < 50; ++x) map.cells.push_back(x < 3 ? -1 : x / 8);
  for (int i = 0; i < 7 * 9; ++i) map.shades.push_back(i % 11 == 0 ? CellMap::kNothing : i * 5 % 3);
  map.colours = {kBlue, kGreen, kOrange};
  Picture picture(80, 40, {255, 255, 255});
  picture.cells(5, 3, map);
  Picture twice(80, 40, {255, 255, 255});
  twice.cells(20, 20, map);
  twice.append(picture);
  for (const Picture* p : {&picture, &twice}) {
    for (double scale : {1.0, 2.0}) {
      const QImage fast = paint_image(*p, scale);
      QImage slow(fast.size(), QImage::Format_RGB32);
      QPainter painter(&slow);
      painter.scale(scale, scale);
      paint(painter, *p);
      painter.end();
      EXPECT_EQ(fast, slow) << scale;
    }
  }
  const QImage once = paint_image(picture, 1);
  EXPECT_EQ(once.pixel(5, 3), qRgb(255, 255, 255)) << "no cell";
  EXPECT_EQ(once.pixel(5 + 8, 3), qRgb(kOrange.r, kOrange.g, kOrange.b)) << "shade 1 * 5 % 3";
  EXPECT_NE(to_svg(picture).find("<rect x=\"13\" y=\"3\" width=\"8\" height=\"1\""), std::string::npos);
  EXPECT_TRUE(Picture(10, 10, {}).maps.empty());
}

TEST(PaintPicture, ATextIsPaintedTheSameTheSecondTime) {
  ImagePainter painter;
  const QImage first = painter.paint(sample(), 2);
  EXPECT_EQ(painter.paint(sample(), 2), first);
  EXPECT_EQ(paint_image(sample(), 2), first);
}

TEST(PaintPicture, PdfIsWrittenOrRefused) {
  const QTemporaryDir dir;
  const QString path = dir.filePath("out.pdf");
  Picture all = sample();
  all.points = drawn().points;
  for (const PictureShape& s : drawn().shapes) all.shapes.push_back(s);
  write_pdf(all, path.toStdString());
  QFile file(path);
  ASSERT_TRUE(file.open(QIODevice::ReadOnly));
  EXPECT_TRUE(file.read(5) == "%PDF-");
  EXPECT_THROW(write_pdf(sample(), dir.filePath("no/such/folder.pdf").toStdString()), Error);
}

TEST(PaintPicture, TextsAreMeasured) {
  const TextWidth measure = text_width();
  EXPECT_GT(measure("matmul", false), measure("mat", false));
  EXPECT_GT(measure("matmul", true), measure("matmul", false));
}

}  // namespace
}  // namespace shardscope::gui
