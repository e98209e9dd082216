#include "gui/views/theme.h"

namespace shardscope::gui {

namespace {

struct Shades {
  QColor window, base, alternate, text, button, highlight, highlighted_text, disabled, tooltip;
};

Shades shades_of(Theme theme) {
  if (theme == Theme::kDark) {
    return {0x202124, 0x17181a, 0x1e1f22, 0xe8e8e8, 0x2d2e31, 0x2f6fab, 0xffffff, 0x8a8a8a, 0x2d2e31};
  }
  return {0xf3f3f3, 0xffffff, 0xf7f8fa, 0x1b1b1b, 0xe9e9e9, 0x0072b2, 0xffffff, 0x767676, 0xffffff};
}

}  // namespace

QPalette make_palette(Theme theme) {
  const Shades s = shades_of(theme);
  QPalette palette;
  palette.setColor(QPalette::Window, s.window);
  palette.setColor(QPalette::Base, s.base);
  palette.setColor(QPalette::AlternateBase, s.alternate);
  palette.setColor(QPalette::Button, s.button);
  palette.setColor(QPalette::ToolTipBase, s.tooltip);
  palette.setColor(QPalette::Highlight, s.highlight);
  palette.setColor(QPalette::HighlightedText, s.highlighted_text);
  palette.setColor(QPalette::PlaceholderText, s.disabled);
  for (QPalette::ColorRole role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, QPalette::ToolTipText}) {
    palette.setColor(role, s.text);
    palette.setColor(QPalette::Disabled, role, s.disabled);
  }
  return palette;
}

QPalette make_box_palette(Theme theme) {
  QPalette palette = make_palette(theme);
  if (theme == Theme::kDark) palette.setColor(QPalette::Window, 0xa0a0a0);
  return palette;
}

Theme theme_of(const QPalette& palette) {
  const bool dark = palette.color(QPalette::Window).lightness() < palette.color(QPalette::WindowText).lightness();
  return dark ? Theme::kDark : Theme::kLight;
}

}  // namespace shardscope::gui
