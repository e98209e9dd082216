#pragma once
// Counter-based random numbers: number i of a stream is a pure function of (seed, name of the stream, i). Any part of a
// weight can be made without the rest, on any rank, in any order, and is the same on every machine.
//
//   std::uint64_t key = random_key(job.seed, "transformer.wte.weight");
//   double x = standard_normal(random_bits(key, 17));

#include <cstdint>
#include <string_view>

namespace shardscope {

/// Stream of a name: its FNV-1a hash, stirred with the seed.
std::uint64_t random_key(std::uint64_t seed, std::string_view name);

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014): a bijection of 64 bits that passes BigCrush as a counter's
/// hash.
constexpr std::uint64_t mix_bits(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// 64 uniform bits: number `index` of the stream.
constexpr std::uint64_t random_bits(std::uint64_t key, std::uint64_t index) {
  return mix_bits(key + (index + 1) * 0x9e3779b97f4a7c15);
}

/// Standard normal from 64 uniform bits, by the inverse of the distribution function: Wichura's PPND7 (Applied
/// Statistics 37, 1988, AS 241), good to about 1 part in 10^7. Never infinite: |x| < 8.3.
double standard_normal(std::uint64_t bits);

/// Uniform in [0, 1) from 64 uniform bits.
constexpr double standard_uniform(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

/// What Sample draws with for the token at `place` of a sequence of the batch: the same on every rank and backend.
double sampling_uniform(std::uint64_t seed, std::int64_t sequence, std::int64_t place);

/// A permutation of [0, size): where `index` goes. No table: a four-round Feistel network over the next power of four,
/// walked until it lands inside. Different keys give unrelated permutations.
std::uint64_t permute(std::uint64_t index, std::uint64_t size, std::uint64_t key);

}  // namespace shardscope
