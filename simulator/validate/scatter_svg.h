#pragma once
// Predicted against published step times as a picture: both axes logarithmic, a colour and a mark for each source.
//
//   write_text("scatter.svg", scatter_svg(validation.rows, "AB"));

#include <string>
#include <string_view>
#include <vector>

#include "simulator/validate/validation.h"

namespace shardscope {

/// A self-contained SVG. The line is where both are equal, the band 20 % around it. Hovering a mark names its row.
std::string scatter_svg(const std::vector<ValidatedRow>& rows, std::string_view qualities);

}  // namespace shardscope
