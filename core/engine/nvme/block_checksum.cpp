#include "core/engine/nvme/block_checksum.h"

#include <bit>
#include <cstring>

namespace shardscope {
namespace {

// XXH64's primes (xxHash specification 0.1.1): odd, so that multiplying loses nothing.
constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F;

void mix(std::uint64_t& lane, const std::byte* word) {
  std::uint64_t w = 0;
  std::memcpy(&w, word, sizeof w);
  lane = std::rotl(lane + w * kPrime2, 31) * kPrime1;
}

}  // namespace

std::uint32_t block_checksum(const std::byte* block) {
  std::uint64_t a = kPrime1 + kPrime2, b = kPrime2, c = 0, d = 0 - kPrime1;
  for (std::int64_t at = 0; at < kSwapBlock; at += 32) {
    mix(a, block + at);
    mix(b, block + at + 8);
    mix(c, block + at + 16);
    mix(d, block + at + 24);
  }
  const std::uint64_t sum = std::rotl(a, 1) + std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18);
  const auto folded = static_cast<std::uint32_t>(sum ^ (sum >> 32));
  return folded == 0 ? 1 : folded;
}

}  // namespace shardscope
