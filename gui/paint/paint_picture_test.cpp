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

TEST(PaintPicture, PdfIsWrittenOrRefused) {
  const QTemporaryDir dir;
  const QString path = dir.filePath("out.pdf");
  write_pdf(sample(), path.toStdString());
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
