#pragma once
// Paints a Picture: into an image, a PDF, or whatever a QPainter paints on. Plain fills go into an image's memory
// directly, which is some ten times as fast as through a painter; the rest, and other devices, through QPainter.
//
//   QImage image = paint_image(picture, /*scale=*/1);
//   write_pdf(picture, "out.pdf");

#include <QFont>
#include <QImage>
#include <string>

#include "gui/models/picture.h"

class QPainter;

namespace shardscope::gui {

QFont picture_font(bool bold);
/// Of that font. Remembers what it measured, so that each label is measured once.
TextWidth text_width();

QImage paint_image(const Picture& picture, double scale);
void paint(QPainter& painter, const Picture& picture);
/// Throws Error{kIo} if the file cannot be written.
void write_pdf(const Picture& picture, const std::string& path);

}  // namespace shardscope::gui
