#pragma once
// A drawing as a list of shapes: what a view wants painted, before anything paints it. Painted by gui/paint, written as
// SVG here, read by tests. Shapes are in order: a later one covers an earlier one. No Qt.
//
//   Picture picture(900, 600, kWhite);
//   picture.fill(0, 0, 100, 20, kBlue);
//   std::string svg = to_svg(picture);

#include <array>
#include <cstdint>
#include <functional>
#include <span>
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

/// Which end of a text is at its x.
enum class TextAnchor : std::uint8_t { kStart, kMiddle, kEnd };

struct Point {
  float x = 0, y = 0;
  friend bool operator==(Point, Point) = default;
};

struct LineLook {
  double width = 1;     ///< pixels
  bool dashed = false;  ///< strokes and gaps of kDash: what is predicted, a limit
};

/// A column of pixels, filled from below with up to eight parts one above the other: byte k is the height of part k, in
/// 127ths of the column's. Together they are not above 127.
using Stack = std::uint64_t;
inline constexpr int kWholeStack = 127, kStackParts = 8;

/// Shares of 1 as a stack; what is there at all is there.
Stack make_stack(const std::array<float, kStackParts>& shares);
/// Heights of the parts of a column that is `height` pixels high, whole pixels.
std::array<int, kStackParts> heights_of(Stack stack, int height);

struct StripLook {
  Rgb colour;
  Texture texture = Texture::kPlain;
};
using StripLooks = std::array<StripLook, kStackParts>;

/// Columns side by side, a pixel wide each.
struct Strip {
  std::vector<Stack> columns;
  StripLooks looks;
};
/// A map of cells: rows of shades a pixel high, and for each column of pixels the cell that it shows.
struct CellMap {
  std::vector<std::int32_t> cells;   ///< by column of pixels; below 0: nothing is drawn there
  int columns = 0;                   ///< cells of a row
  std::vector<std::uint8_t> shades;  ///< by row, cell: index into colours; what is none is not drawn
  std::vector<Rgb> colours;
  int rows() const { return columns == 0 ? 0 : static_cast<int>(shades.size()) / columns; }
  int shade(int x, int row) const {
    const std::int32_t cell = cells[static_cast<std::size_t>(x)];
    const int index = cell < 0 ? kNothing
                               : shades[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) +
                                        static_cast<std::size_t>(cell)];
    return index < static_cast<int>(colours.size()) ? index : kNothing;
  }
  static constexpr int kNothing = 255;
};
inline constexpr double kTexturedFrom = 8;  ///< pixels: parts of lower strips have no texture

struct PictureShape {
  enum class Kind : std::uint8_t { kFill, kFrame, kText, kLine, kPolygon, kDisc, kStrip, kCells };
  Kind kind = Kind::kFill;
  Texture texture = Texture::kPlain;       ///< of fills and polygons; a polygon has no kFootLine and the like
  TextAnchor anchor = TextAnchor::kStart;  ///< of a text
  Rgb colour;
  bool bold = false;                          ///< a text
  bool upward = false;                        ///< a text, turned to be read from below
  bool dashed = false;                        ///< a line
  bool hollow = false;                        ///< a disc: only its rim
  float x = 0, y = 0, width = 0, height = 0;  ///< of a text: x and y of its baseline; of a disc: its centre
  float thickness = 1;                        ///< of a line, of the rim of a hollow disc
  std::int32_t text = -1;              ///< index into Picture::texts, of a strip or cells into Picture::strips, maps
  std::int32_t first = 0, points = 0;  ///< of a line, a polygon: stretch of Picture::points
  float radius() const { return width / 2; }  ///< of a disc
};

inline constexpr double kTextSize = 12;            ///< pixels, of every text
inline constexpr std::size_t kLongestText = 2000;  ///< bytes: names in a profile may have millions
inline constexpr double kDash = 4;                 ///< pixels, of a stroke and of a gap

/// Width of a text in pixels: fonts are the painter's.
using TextWidth = std::function<double(std::string_view text, bool bold)>;

struct Picture {
  Picture(double w, double h, Rgb ground) : width(w), height(h), background(ground) {}
  void fill(double x, double y, double w, double h, Rgb colour, Texture texture = Texture::kPlain);
  void frame(double x, double y, double w, double h, Rgb colour);  ///< one pixel wide, inside
  void text(double x, double baseline, std::string text, Rgb colour, bool bold = false,
            TextAnchor anchor = TextAnchor::kStart);
  /// Turned by a quarter, to be read from below: `x` is its baseline and `y` where it starts, its middle or its end.
  void text_upward(double x, double y, std::string text, Rgb colour, TextAnchor anchor = TextAnchor::kMiddle);
  void line(double x0, double y0, double x1, double y1, Rgb colour, LineLook look = {});
  /// Through all points. A line or polygon with a coordinate that is no number is left out, as is one of too few
  /// points.
  void line(std::span<const Point> through, Rgb colour, LineLook look = {});
  void polygon(std::span<const Point> corners, Rgb colour, Texture texture = Texture::kPlain);
  void disc(double x, double y, double radius, Rgb colour);
  void ring(double x, double y, double radius, Rgb colour, double thickness = 1.5);  ///< hollow disc, rim inside
  void strip(double x, double y, double h, std::vector<Stack> columns, const StripLooks& looks);
  void cells(double x, double y, CellMap map);
  /// All of another picture, on top.
  void append(const Picture& other);
  /// The points of a line or polygon.
  std::span<const Point> points_of(const PictureShape& shape) const;

  double width, height;
  Rgb background;
  std::vector<PictureShape> shapes;
  std::vector<std::string> texts;
  std::vector<Point> points;
  std::vector<Strip> strips;
  std::vector<CellMap> maps;

 private:
  PictureShape& add(PictureShape::Kind kind, Rgb colour, double x, double y, double w, double h);
  void add_points(PictureShape::Kind kind, std::span<const Point> through, PictureShape look, std::size_t fewest);
};

/// The rectangles of a map of cells: neighbours in a row that are equal are one. `x`, `y`: where the map stands.
void for_each_run(const CellMap& map, float x, float y, const std::function<void(const PictureShape&)>& draw);

/// The text, or as much of it as fits with "…" behind; empty if not even two letters do. Cuts between UTF-8 characters.
std::string elide(const std::string& text, double width, const TextWidth& measure, bool bold = false);

/// The text in lines of at most that width, cut between words, and within one that is longer than a line.
std::vector<std::string> wrap(const std::string& text, double width, const TextWidth& measure);
/// Why there is nothing to see: its lines, the first at `baseline`.
void draw_paragraph(Picture& picture, double x, double baseline, double width, const std::string& text, Rgb colour,
                    const TextWidth& measure);

std::string to_svg(const Picture& picture);

}  // namespace shardscope::gui
