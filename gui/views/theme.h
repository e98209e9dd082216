#pragma once
// Dark and light, as palettes of Qt's Fusion style, so that the window looks the same on every desktop.

#include <QPalette>

namespace shardscope::gui {

enum class Theme { kLight, kDark };

QPalette make_palette(Theme theme);
/// Of check boxes: Fusion draws their frame a shade darker than the window, which cannot be seen on a dark one.
QPalette make_box_palette(Theme theme);

/// What the desktop uses: dark if its window background is darker than its text.
Theme theme_of(const QPalette& palette);

}  // namespace shardscope::gui
