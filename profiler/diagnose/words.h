#pragma once
// Numbers as the sentences of a diagnosis have them.

#include <fmt/format.h>

#include <string>

namespace shardscope {

inline std::string ms_text(double seconds) { return fmt::format("{:.{}f}", 1e3 * seconds, seconds < 1e-2 ? 3 : 1); }
inline std::string share_text(double part, double of) {
  return of > 0 ? fmt::format("{:.1f} %", 100 * part / of) : "-";
}
inline std::string size_text(double bytes) {
  if (bytes >= 1 << 20) return fmt::format("{:.3g} MiB", bytes / (1 << 20));
  return bytes >= 1024 ? fmt::format("{:.3g} KiB", bytes / 1024) : fmt::format("{:.0f} bytes", bytes);
}
inline std::string rate_text(double bytes_per_s) { return fmt::format("{:.3g} GB/s", 1e-9 * bytes_per_s); }

/// A name that is not longer than a line.
inline std::string name_text(const std::string& name) { return name.size() <= 60 ? name : name.substr(0, 57) + "..."; }

}  // namespace shardscope
