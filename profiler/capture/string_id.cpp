#include <cstring>

#include "profiler/capture/spool_layout.h"

namespace shardscope::capture {

namespace {

// Eight bytes a step: multiply and fold the 128-bit product, as the wyhash family does.
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

constexpr std::uint64_t kOdd1 = 0xa0761d6478bd642f, kOdd2 = 0xe7037ed1a0b428db;

}  // namespace

std::uint64_t string_id(const char* text, std::size_t bytes) {
  std::uint64_t hash = kOdd1 ^ bytes;
  std::size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text + at, 8);
    hash = mix(hash ^ word, kOdd2);
  }
  std::uint64_t word = 0;
  std::memcpy(&word, text + at, bytes - at);
  hash = mix(hash ^ word, kOdd2 ^ bytes);
  return hash != 0 ? hash : 1;
}

}  // namespace shardscope::capture
