#include "core/engine/initialize.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/engine/fill_int8.h"
#include "core/engine/float_convert.h"
#include "core/engine/random.h"
#include "core/engine/region_io.h"
#include "core/program/parameter_runs.h"

namespace shardscope {
namespace {

constexpr std::int64_t kBlock = 1 << 14;  // elements made at a time

/// Fills `home`, which holds elements [begin, ...) of the whole tensor.
void fill_run(const Parameter& parameter, StateRole role, std::int64_t begin, Region home, const Memory& memory,
              const StateValues& values) {
  std::vector<float> block(static_cast<std::size_t>(std::min(kBlock, home.count)));
  std::vector<std::byte> stored(block.size() * sizeof(double));
  for (std::int64_t done = 0; done < home.count; done += kBlock) {
    const std::int64_t n = std::min(kBlock, home.count - done);
    const std::span<float> floats(block.data(), static_cast<std::size_t>(n));
    values(parameter, role, begin + done, floats);
    const Region part = home.part(done, n);
    from_floats(floats, memory.dtype(part), stored.data());
    write_region(memory, part, stored.data());
  }
}

void fill_with_zero(Region home, const Memory& memory) {
  const std::vector<std::byte> zeros(static_cast<std::size_t>(kBlock * size_of(memory.dtype(home))));
  for (std::int64_t done = 0; done < home.count; done += kBlock) {
    write_region(memory, home.part(done, std::min(kBlock, home.count - done)), zeros.data());
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

void fill_state(const Program& program, const Memory& memory, const StateValues& values) {
  for (const StatePiece& piece : program.state) {
    const Parameter& parameter = program.parameters[static_cast<std::size_t>(piece.parameter)];
    SS_CHECK(piece.begin >= 0 && piece.begin + piece.home.count <= parameter.local_elements(), parameter.name,
             piece.begin);
    if (!piece.scales.empty()) {
      fill_int8(parameter, piece, memory, values);
      continue;
    }
    if (parameter.slice.parts > 1) fill_with_zero(piece.home, memory);  // its padding
    for_each_run(parameter, piece.begin, piece.home.count, [&](std::int64_t local, std::int64_t whole, std::int64_t n) {
      fill_run(parameter, piece.role, whole, piece.home.part(local - piece.begin, n), memory, values);
    });
  }
}

void initialize_state(const Program& program, const Memory& memory, std::uint64_t seed) {
  fill_state(program, memory,
             [seed](const Parameter& parameter, StateRole role, std::int64_t begin, std::span<float> out) {
               if (role == StateRole::kParameter || role == StateRole::kMaster) {
                 initial_values(parameter, seed, begin, out);
               } else {
                 std::fill(out.begin(), out.end(), 0.0F);
               }
             });
}

}  // namespace shardscope
