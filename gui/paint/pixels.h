#pragma once
// Fills, textures and strips written straight into an image's memory: no painter is as fast.
//
//   Pixels pixels(image);
//   fill_pixels(pixels, shape, /*scale=*/2);

#include <QImage>

#include "gui/models/picture.h"

namespace shardscope::gui {

/// Memory of an image, as 32 bits a pixel. The image must not be shared (QImage::bits() would copy it).
struct Pixels {
  explicit Pixels(QImage& image);
  QRgb* line(int y) const { return reinterpret_cast<QRgb*>(bits + y * bytes_per_line); }
  uchar* bits;
  qsizetype bytes_per_line;
  int width, height;
};

/// Edges in whole device pixels, so that neighbours meet and the same picture gives the same bytes. False if its
/// texture is left to a painter (a hatch).
bool fill_pixels(const Pixels& pixels, const PictureShape& shape, double scale);
void strip_pixels(const Pixels& pixels, const PictureShape& shape, const Strip& strip, double scale);
void cell_pixels(const Pixels& pixels, const PictureShape& shape, const CellMap& map, double scale);

}  // namespace shardscope::gui
