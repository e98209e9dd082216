#pragma once
// Texts out of profiles, which may be of any length and hold any character, as they may be shown.
//
//   label->setText(one_line(message));      QToolTip::showText(at, plain_tip(text), this);

#include <QString>

namespace shardscope::gui {

inline constexpr qsizetype kLongestLine = 300, kLongestTip = 2000;  ///< characters

/// Line ends and the like as spaces, and "…" behind what is cut.
inline QString one_line(const QString& text, qsizetype longest = kLongestLine) {
  const QString line = text.left(2 * longest).simplified();
  return line.size() <= longest && text.size() <= 2 * longest ? line : line.left(longest - 1) + QChar(0x2026);
}

/// Tooltips take what looks like HTML for it; names of kernels do.
inline QString plain_tip(const QString& text) {
  QString tip = text.left(kLongestTip);
  if (!tip.contains(QLatin1Char('<')) && !tip.contains(QLatin1Char('&'))) return tip;
  return QStringLiteral("<p style='white-space:pre'>%1</p>").arg(tip.toHtmlEscaped());
}

}  // namespace shardscope::gui
