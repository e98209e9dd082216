#pragma once
// Paints a Picture: into an image, a PDF, or whatever a QPainter paints on. Plain fills go into an image's memory
// directly, which is some ten times as fast as through a painter; the rest, and other devices, through QPainter.
//
//   QImage image = paint_image(picture, /*scale=*/1);
//   write_pdf(picture, "out.pdf");

#include <QFont>
#include <QImage>
#include <memory>
#include <string>

#include "gui/models/picture.h"

class QPainter;

namespace shardscope::gui {

QFont picture_font(bool bold);
/// Of that font. Remembers what it measured, so that each label is measured once.
TextWidth text_width();

/// Paints pictures into images, and keeps the images of the texts that it painted: a text that comes again costs a
/// tenth of the first.
class ImagePainter {
 public:
  ImagePainter();
  ~ImagePainter();
  ImagePainter(const ImagePainter&) = delete;
  ImagePainter& operator=(const ImagePainter&) = delete;
  /// The whole picture, in an image of its own size.
  QImage paint(const Picture& picture, double scale);
  /// On top of what the image holds, moved by (x, y) pixels of the picture. It must be of Format_RGB32.
  void paint_onto(QImage& image, const Picture& picture, double scale, double x = 0, double y = 0);

 private:
  struct Texts;
  std::unique_ptr<Texts> texts_;
};

/// With a painter of its own.
QImage paint_image(const Picture& picture, double scale);
void paint(QPainter& painter, const Picture& picture);
void paint_over(QPainter& painter, const Picture& picture);  ///< without its ground
/// Throws Error{kIo} if the file cannot be written.
void write_pdf(const Picture& picture, const std::string& path);

}  // namespace shardscope::gui
