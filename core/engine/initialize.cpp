#include "core/engine/initialize.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/engine/random.h"
#include "core/engine/reduce.h"
#include "core/engine/region_io.h"
#include "core/error.h"
#include "core/program/parameter_runs.h"

namespace shardscope {
namespace {

constexpr std::int64_t kBlock = 1 << 14;  // elements made at a time

void store(std::span<const float> values, DType dtype, std::byte* to) {
  const std::size_t n = values.size();
  switch (dtype) {
    case DType::kF32:
      std::memcpy(to, values.data(), n * sizeof(float));
      return;
    case DType::kF64:
      std::copy(values.begin(), values.end(), reinterpret_cast<double*>(to));
      return;
    case DType::kBF16:
      std::transform(values.begin(), values.end(), reinterpret_cast<std::uint16_t*>(to), to_bf16);
      return;
    case DType::kF16:
      std::transform(values.begin(), values.end(), reinterpret_cast<std::uint16_t*>(to), to_fp16);
      return;
    case DType::kI32:
    case DType::kI8:
      break;
  }
  throw Error(ErrorKind::kUnsupported, "initialisation of parameters in " + std::string(to_string(dtype)));
}

/// Fills `home`, which holds elements [begin, ...) of the whole tensor.
void initialize_run(const Parameter& parameter, std::int64_t begin, Region home, const Memory& memory,
                    std::uint64_t seed) {
  std::vector<float> block(static_cast<std::size_t>(std::min(kBlock, home.count)));
  std::vector<std::byte> stored(block.size() * sizeof(double));
  for (std::int64_t done = 0; done < home.count; done += kBlock) {
    const std::int64_t n = std::min(kBlock, home.count - done);
    const std::span<float> values(block.data(), static_cast<std::size_t>(n));
    initial_values(parameter, seed, begin + done, values);
    const Region part = home.part(done, n);
    store(values, memory.dtype(part), stored.data());
    write_region(memory, part, stored.data());
  }
}

void fill_with_zero(Region home, const Memory& memory) {
  const std::vector<std::byte> zeros(static_cast<std::size_t>(kBlock * size_of(memory.dtype(home))));
  for (std::int64_t done = 0; done < home.count; done += kBlock) {
    write_region(memory, home.part(done, std::min(kBlock, home.count - done)), zeros.data());
  }
}

void initialize_piece(const Program& program, const StatePiece& piece, const Memory& memory, std::uint64_t seed) {
  const Parameter& parameter = program.parameters[static_cast<std::size_t>(piece.parameter)];
  SS_CHECK(piece.begin >= 0 && piece.begin + piece.home.count <= parameter.local_elements(), parameter.name,
           piece.begin);
  if (parameter.slice.parts > 1) fill_with_zero(piece.home, memory);  // its padding
  for_each_run(parameter, piece.begin, piece.home.count, [&](std::int64_t local, std::int64_t whole, std::int64_t n) {
    initialize_run(parameter, whole, piece.home.part(local - piece.begin, n), memory, seed);
  });
}

}  // namespace

void initial_values(const Parameter& parameter, std::uint64_t seed, std::int64_t begin, std::span<float> out) {
  if (parameter.init_std == 0) {
    std::fill(out.begin(), out.end(), static_cast<float>(parameter.init_value));
    return;
  }
  const std::uint64_t key = random_key(seed, parameter.name);
  auto index = static_cast<std::uint64_t>(begin);
  for (float& x : out) x = static_cast<float>(parameter.init_std * standard_normal(random_bits(key, index++)));
}

void initialize_state(const Program& program, const Memory& memory, std::uint64_t seed) {
  for (const StatePiece& piece : program.state) {
    if (piece.home.empty()) continue;
    if (piece.role == StateRole::kParameter || piece.role == StateRole::kMaster) {
      initialize_piece(program, piece, memory, seed);
    } else {
      fill_with_zero(piece.home, memory);
    }
  }
}

}  // namespace shardscope
