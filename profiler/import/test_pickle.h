#pragma once
// Pickles for tests, of protocol 2 as PyTorch's C++ writes them.
//
//   write_file("dump", pickled::file(pickled::dict({{"version", pickled::text("2.9")}, {"entries",
//   pickled::list({})}})));

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace shardscope::testing::pickled {

inline std::string little_endian(std::int64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i));
  return out;
}
inline std::string none() { return "N"; }
inline std::string boolean(bool value) { return value ? "\x88" : "\x89"; }
inline std::string integer(std::int64_t value) { return "\x8a\x08" + little_endian(value, 8); }
inline std::string text(const std::string& value) {
  return "X" + little_endian(static_cast<std::int64_t>(value.size()), 4) + value;
}
inline std::string list(const std::vector<std::string>& items) {
  std::string out = "](";
  for (const std::string& item : items) out += item;
  return out + "e";
}
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::string out = "}(";
  for (const auto& [key, value] : pairs) out += text(key) + value;
  return out + "u";
}
inline std::string file(const std::string& value) { return "\x80\x02" + value + "."; }

}  // namespace shardscope::testing::pickled
