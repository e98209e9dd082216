#include "gui/models/colour_map.h"

#include <array>
#include <cmath>
#include <cstddef>

namespace shardscope::gui {
namespace {

/// Ten evenly spaced colours of cividis, as viridisLite 0.4 gives them; between them by straight lines.
constexpr std::array<Rgb, 10> kCividis{{{0x00, 0x20, 0x4D},
                                        {0x00, 0x33, 0x6F},
                                        {0x39, 0x48, 0x6B},
                                        {0x57, 0x5C, 0x6D},
                                        {0x70, 0x71, 0x73},
                                        {0x8A, 0x87, 0x79},
                                        {0xA6, 0x9D, 0x75},
                                        {0xC4, 0xB5, 0x6C},
                                        {0xE4, 0xCF, 0x5B},
                                        {0xFF, 0xEA, 0x46}}};

std::uint8_t between(std::uint8_t a, std::uint8_t b, double part) {
  return static_cast<std::uint8_t>(std::lround(a + (b - a) * part));
}

}  // namespace

Rgb cividis(double value) {
  if (!(value > 0)) return kCividis.front();
  if (value >= 1) return kCividis.back();
  const double at = value * (kCividis.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const double part = at - static_cast<double>(below);
  const Rgb a = kCividis[below], b = kCividis[below + 1];
  return {between(a.r, b.r, part), between(a.g, b.g, part), between(a.b, b.b, part)};
}

}  // namespace shardscope::gui
