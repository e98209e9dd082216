#include "gui/models/picture.h"

#include <fmt/format.h>

namespace shardscope::gui {
namespace {

std::string hex(Rgb c) { return fmt::format("#{:02x}{:02x}{:02x}", c.r, c.g, c.b); }

/// Control characters have no place in XML 1.0, whatever a profile's names hold.
std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string rect_svg(const PictureShape& s, const std::string& paint) {
  return fmt::format("<rect x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" {}/>\n", s.x, s.y, s.width, s.height,
                     paint);
}

std::string texture_svg(const PictureShape& s) {
  PictureShape line = s;
  line.height = 2;
  std::string out;
  if (s.texture == Texture::kDots) out += rect_svg(s, "fill=\"url(#dots)\"");
  if (s.texture == Texture::kHatch) out += rect_svg(s, "fill=\"url(#hatch)\"");
  if (s.texture == Texture::kHeadLine || s.texture == Texture::kBothLines)
    out += rect_svg(line, "fill=\"#000\" fill-opacity=\"0.45\"");
  line.y = s.y + s.height - 2;
  if (s.texture == Texture::kFootLine || s.texture == Texture::kBothLines)
    out += rect_svg(line, "fill=\"#000\" fill-opacity=\"0.45\"");
  return out;
}

std::string shape_svg(const Picture& picture, const PictureShape& s) {
  switch (s.kind) {
    case PictureShape::Kind::kFill:
      return rect_svg(s, "fill=\"" + hex(s.colour) + "\"") + texture_svg(s);
    case PictureShape::Kind::kFrame:
      return fmt::format(
          "<rect x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" fill=\"none\" stroke=\"{}\" "
          "stroke-width=\"1\"/>\n",
          s.x + 0.5, s.y + 0.5, s.width - 1, s.height - 1, hex(s.colour));
    case PictureShape::Kind::kText:
      return fmt::format("<text x=\"{:g}\" y=\"{:g}\" fill=\"{}\"{}>{}</text>\n", s.x, s.y, hex(s.colour),
                         s.bold ? " font-weight=\"bold\"" : "",
                         escaped(picture.texts[static_cast<std::size_t>(s.text)]));
  }
  return {};
}

constexpr const char* kPatterns =
    "<defs><pattern id=\"dots\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\"><rect width=\"2\" "
    "height=\"2\" "
    "fill=\"#000\" fill-opacity=\"0.4\"/></pattern><pattern id=\"hatch\" width=\"6\" height=\"6\" "
    "patternUnits=\"userSpaceOnUse\"><path d=\"M0 6L6 0\" stroke=\"#fff\" stroke-opacity=\"0.5\"/></pattern></defs>\n";

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

void Picture::fill(double x, double y, double w, double h, Rgb colour, Texture texture) {
  if (!(w > 0 && h > 0)) return;
  shapes.push_back({PictureShape::Kind::kFill, texture, colour, false, static_cast<float>(x), static_cast<float>(y),
                    static_cast<float>(w), static_cast<float>(h), -1});
}

void Picture::frame(double x, double y, double w, double h, Rgb colour) {
  if (!(w >= 1 && h >= 1)) return;
  shapes.push_back({PictureShape::Kind::kFrame, Texture::kPlain, colour, false, static_cast<float>(x),
                    static_cast<float>(y), static_cast<float>(w), static_cast<float>(h), -1});
}

void Picture::text(double x, double baseline, std::string text, Rgb colour, bool bold) {
  if (text.empty()) return;
  shapes.push_back({PictureShape::Kind::kText, Texture::kPlain, colour, bold, static_cast<float>(x),
                    static_cast<float>(baseline), 0, 0, static_cast<std::int32_t>(texts.size())});
  texts.push_back(std::move(text));
}

std::string elide(const std::string& text, double width, const TextWidth& measure, bool bold) {
  if (measure(text, bold) <= width) return text;
  constexpr std::size_t kFewestLetters = 2;
  std::size_t fits = 0, above = text.size();  // bytes
  while (fits + 1 < above) {
    const std::size_t middle = (fits + above) / 2;
    (measure(text.substr(0, middle) + "…", bold) <= width ? fits : above) = middle;
  }
  while (fits > 0 && continues_character(text[fits])) --fits;
  return fits < kFewestLetters ? "" : text.substr(0, fits) + "…";
}

std::string to_svg(const Picture& picture) {
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" "
      "font-family=\"DejaVu Sans, sans-serif\" font-size=\"{2:g}\">\n{3}<rect width=\"100%\" height=\"100%\" "
      "fill=\"{4}\"/>\n",
      picture.width, picture.height, kTextSize, kPatterns, hex(picture.background));
  for (const PictureShape& shape : picture.shapes) svg += shape_svg(picture, shape);
  return svg + "</svg>\n";
}

}  // namespace shardscope::gui
