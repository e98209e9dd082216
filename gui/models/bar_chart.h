#pragma once
// What a stacked-bar view shows: rows of a few parts each, in one unit, as plain data. Views paint it; tests read it.
//
//   BarChart chart = step_chart(runs);   // gui/models/charts.h
//   bars->set_chart(chart);              // gui/views/stacked_bars.h

#include <cstdint>
#include <string>
#include <vector>

namespace shardscope::gui {

/// A colour of the fixed table below: the same thing has the same colour in every view.
struct Rgb {
  std::uint8_t r = 0, g = 0, b = 0;
  friend constexpr bool operator==(Rgb, Rgb) = default;
};

/// Seven of Okabe and Ito's hues and a grey, told apart under the common kinds of colour blindness
/// (jfly.uni-koeln.de/color); and a brown, darker than all of them, for what needs a ninth.
inline constexpr Rgb kOrange{0xE6, 0x9F, 0x00}, kSky{0x56, 0xB4, 0xE9}, kGreen{0x00, 0x9E, 0x73},
    kYellow{0xF0, 0xE4, 0x42}, kBlue{0x00, 0x72, 0xB2}, kVermilion{0xD5, 0x5E, 0x00}, kPurple{0xCC, 0x79, 0xA7},
    kGrey{0x99, 0x99, 0x99}, kBrown{0x6B, 0x4A, 0x1F};

/// One kind of part, in the legend once. The mark is written on its segments: hue is never the only cue.
struct BarSeries {
  std::string name;  ///< "exposed communication"
  std::string mark;  ///< "comm", written inside a segment that has room for it
  Rgb colour;
};

struct Bar {
  std::string label;           ///< "ZeRO-2"
  bool predicted = false;      ///< drawn hatched, and called so
  std::vector<double> values;  ///< one per series, >= 0, in the chart's unit
  std::string note;            ///< behind the bar, after its total: "4 ranks"
  double total() const;
};

enum class BarUnit : std::uint8_t { kSeconds, kBytes };

struct BarChart {
  std::string title;       ///< "Step time"
  std::string empty_text;  ///< shown when there are no bars: why, and what to do
  BarUnit unit = BarUnit::kSeconds;
  std::vector<BarSeries> series;
  std::vector<Bar> bars;  ///< a prediction follows the measured run that it is of
  double longest() const;
};

/// Evenly spaced marks of an axis from 0 to at least `longest`, at most `wanted` steps: 1, 2 or 5 times a power of ten
/// (of two for bytes). Just {0} if there is nothing to show.
std::vector<double> axis_ticks(double longest, BarUnit unit, int wanted);

/// "12.4 ms", "1.25 s", "480 us"; "312.5 MiB", "1.20 GiB" (powers of two). Three or four digits.
std::string format_seconds(double seconds);
std::string format_bytes(double bytes);
std::string format_value(double value, BarUnit unit);

/// Black or white, whichever is easier to read on the colour (WCAG relative luminance).
Rgb text_colour_on(Rgb background);
/// WCAG contrast ratio, 1 to 21.
double contrast_ratio(Rgb a, Rgb b);

}  // namespace shardscope::gui
