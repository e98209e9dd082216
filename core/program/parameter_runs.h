#pragma once
// From a rank's part of a parameter to its place in the whole tensor.
//
//   for_each_run(parameter, piece.begin, piece.home.count, [&](std::int64_t local, std::int64_t whole, std::int64_t n)
//   {
//     // elements [local, local + n) here are elements [whole, whole + n) of the tensor in its checkpoint
//   });

#include <algorithm>
#include <cstdint>

#include "core/program/program.h"

namespace shardscope {

/// Cuts elements [begin, begin + count) of Parameter::local_shape, flattened row-major, into the longest runs that lie
/// side by side in the whole tensor too. Padding is in no run. Runs come in rising order of both.
template <class F>
void for_each_run(const Parameter& p, std::int64_t begin, std::int64_t count, F&& f) {
  if (count <= 0) return;
  if (p.slice.parts == 1) return f(begin, begin, count);
  const auto dim = static_cast<std::size_t>(p.slice.dim);
  std::int64_t inner = 1;
  for (std::size_t d = dim + 1; d < p.shape.size(); ++d) inner *= p.shape[d];
  const std::int64_t extent = p.shape[dim], block = extent / p.slice.blocks;
  const std::int64_t here = (block + p.slice.parts - 1) / p.slice.parts, first = p.slice.part * here;
  const std::int64_t run = here * inner, real = std::clamp<std::int64_t>(block - first, 0, here) * inner;
  for (std::int64_t at = begin; at < begin + count;) {
    const std::int64_t index = at / run, inside = at % run;  // run number `index` starts at block `index` of all rows
    const std::int64_t n = std::min(run - inside, begin + count - at);
    const std::int64_t whole = (index * block + first) * inner + inside;
    if (inside < real) f(at, whole, std::min(n, real - inside));
    at += n;
  }
}

}  // namespace shardscope
