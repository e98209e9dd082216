#include "cli/text_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace shardscope::cli {
namespace {

/// Characters of a UTF-8 text, which is what a terminal's columns count (but for wide and combining ones).
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string TextTable::text() const {
  std::vector<std::size_t> widths(rows_[0].size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t c = 0; c < row.size() && c < widths.size(); ++c) {
      widths[c] = std::max(widths[c], width_of(row[c]));
    }
  }
  std::string out;
  const auto add_line = [&](const std::vector<std::string>& row, char fill) {
    std::string line = "  ";
    for (std::size_t c = 0; c < widths.size(); ++c) {
      const std::string cell = c < row.size() ? printable(row[c]) : std::string();
      const std::string blanks(widths[c] - std::min(widths[c], width_of(cell)), fill);
      line += (c == 0 ? "" : "  ") + (c < left_ ? cell + blanks : blanks + cell);
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  add_line(rows_[0], ' ');
  add_line({}, '-');
  for (std::size_t r = 1; r < rows_.size(); ++r) add_line(rows_[r], ' ');
  return out;
}

std::string milliseconds(double seconds) { return fmt::format("{:.3f}", seconds * 1e3); }
std::string ns_in_ms(std::int64_t ns) { return milliseconds(1e-9 * static_cast<double>(ns)); }
std::string mebibytes(std::int64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return mib != 0 && mib < 10 ? fmt::format("{:.3f}", mib) : fmt::format("{:.1f}", mib);
}
std::string rate_text(double per_second) { return per_second > 0 ? fmt::format("{:.0f}", per_second) : "-"; }
std::string percent(double part, double of) { return of == 0 ? "-" : fmt::format("{:.1f} %", 100 * part / of); }
std::string signed_percent(double ratio) { return fmt::format("{:+.1f} %", 100 * ratio); }

std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  return out;
}

}  // namespace shardscope::cli
