#pragma once
// Colours of heat maps. Cividis runs from dark blue to yellow, ever lighter, and looks the same to people with the
// common kinds of colour blindness (Nunez, Anderton, Renslow 2018, doi.org/10.1371/journal.pone.0199239).
//
//   Rgb colour = cividis(0.7);

#include "gui/models/bar_chart.h"

namespace shardscope::gui {

/// Of 0 to 1; what is outside takes the nearer end, and what is no number the lower one.
Rgb cividis(double value);

}  // namespace shardscope::gui
