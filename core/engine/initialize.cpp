#include "core/engine/initialize.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/engine/random.h"
#include "core/engine/reduce.h"
#include "core/error.h"

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

void initialize_piece(const Program& program, const StatePiece& piece, const Memory& memory, std::uint64_t seed) {
  const Parameter& parameter = program.parameters[static_cast<std::size_t>(piece.parameter)];
  SS_CHECK(piece.begin >= 0 && piece.begin + piece.home.count <= parameter.elements(), parameter.name, piece.begin);
  std::vector<float> block(static_cast<std::size_t>(std::min(kBlock, piece.home.count)));
  for (std::int64_t done = 0; done < piece.home.count; done += kBlock) {
    const std::int64_t n = std::min(kBlock, piece.home.count - done);
    const std::span<float> values(block.data(), static_cast<std::size_t>(n));
    initial_values(parameter, seed, piece.begin + done, values);
    const Region part = piece.home.part(done, n);
    store(values, memory.dtype(part), memory.at(part));
  }
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
      std::memset(memory.at(piece.home), 0, static_cast<std::size_t>(program.bytes(piece.home)));
    }
  }
}

}  // namespace shardscope
