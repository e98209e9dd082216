#pragma once
// A drawing as a list of shapes: what a view wants painted, before anything paints it. Painted by gui/paint, written as
// SVG here, read by tests. Shapes are in order: a later one covers an earlier one. No Qt.
//
//   Picture picture(900, 600, kWhite);
//   picture.fill(0, 0, 100, 20, kBlue);
//   std::string svg = to_svg(picture);

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gui/models/bar_chart.h"

namespace shardscope::gui {

/// What tells two fills apart besides their colour.
enum class Texture : std::uint8_t {
  kPlain,
  kDots,      ///< waiting
  kHatch,     ///< predicted
  kFootLine,  ///< a dark line along the lower edge
  kHeadLine,  ///< along the upper one
  kBothLines
};

struct PictureShape {
  enum class Kind : std::uint8_t { kFill, kFrame, kText };
  Kind kind = Kind::kFill;
  Texture texture = Texture::kPlain;
  Rgb colour;
  bool bold = false;
  float x = 0, y = 0, width = 0, height = 0;  ///< of a text: x and y of its baseline, width and height unused
  std::int32_t text = -1;                     ///< index into Picture::texts
};

inline constexpr double kTextSize = 12;  ///< pixels, of every text

/// Width of a text in pixels: fonts are the painter's.
using TextWidth = std::function<double(std::string_view text, bool bold)>;

struct Picture {
  Picture(double w, double h, Rgb ground) : width(w), height(h), background(ground) {}
  void fill(double x, double y, double w, double h, Rgb colour, Texture texture = Texture::kPlain);
  void frame(double x, double y, double w, double h, Rgb colour);  ///< one pixel wide, inside
  void text(double x, double baseline, std::string text, Rgb colour, bool bold = false);

  double width, height;
  Rgb background;
  std::vector<PictureShape> shapes;
  std::vector<std::string> texts;
};

/// The text, or as much of it as fits with "…" behind; empty if not even two letters do. Cuts between UTF-8 characters.
std::string elide(const std::string& text, double width, const TextWidth& measure, bool bold = false);

std::string to_svg(const Picture& picture);

}  // namespace shardscope::gui
