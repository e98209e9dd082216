#include "core/engine/random.h"

#include <bit>
#include <cmath>

#include "core/check.h"

namespace shardscope {
namespace {

/// Near the middle, |p - 1/2| <= 0.425: a rational function of (p - 1/2)^2.
double normal_centre(double q) {
  const double r = 0.180625 - q * q;
  const double above = ((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179;
  const double below = ((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0;
  return q * above / below;
}

/// In the tails, p the smaller side: a rational function of sqrt(-ln p).
double normal_tail(double p) {
  double r = std::sqrt(-std::log(p));
  if (r <= 5) {
    r -= 1.6;
    return (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) /
           ((0.12021132975 * r + 0.73700164250) * r + 1.0);
  }
  r -= 5;
  return (((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150) /
         ((0.012258202635 * r + 0.24197894225) * r + 1.0);
}

}  // namespace

std::uint64_t random_key(std::uint64_t seed, std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return mix_bits(mix_bits(seed + 0x9e3779b97f4a7c15) ^ hash);
}

double sampling_uniform(std::uint64_t seed, std::int64_t sequence, std::int64_t place) {
  const std::uint64_t key = mix_bits(random_key(seed, "sample") + static_cast<std::uint64_t>(sequence));
  return standard_uniform(random_bits(key, static_cast<std::uint64_t>(place)));
}

double standard_normal(std::uint64_t bits) {
  const double p = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;  // exact, inside (0, 1)
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) return normal_centre(q);
  return q < 0 ? -normal_tail(p) : normal_tail(1 - p);
}

std::uint64_t permute(std::uint64_t index, std::uint64_t size, std::uint64_t key) {
  SS_CHECK(index < size, index, size);
  const int half = (std::bit_width(size - 1) + 1) / 2;  // bits of each half
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  std::uint64_t x = index;
  do {
    std::uint64_t left = x >> half, right = x & mask;
    for (std::uint64_t round = 0; round < 4; ++round) {
      const std::uint64_t next = left ^ (mix_bits(key + (round << 60) + right) & mask);
      left = right;
      right = next;
    }
    x = (left << half) | right;
  } while (x >= size);
  return x;
}

}  // namespace shardscope
