#include "core/engine/fill_int8.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/engine/region_io.h"
#include "core/error.h"
#include "core/program/parameter_runs.h"

namespace shardscope {
namespace {

/// What this rank has of the parameter; padding is 0.
std::vector<float> local_values(const Parameter& parameter, StateRole role, const StateValues& values) {
  std::vector<float> local(static_cast<std::size_t>(parameter.local_elements()));
  for_each_run(parameter, 0, parameter.local_elements(), [&](std::int64_t at, std::int64_t whole, std::int64_t n) {
    values(parameter, role, whole, std::span(local).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(n)));
  });
  return local;
}

/// Which channel an element of a matrix belongs to.
struct Channels {
  std::size_t columns, count;
  bool by_column;
  std::size_t of(std::size_t element) const { return by_column ? element % columns : element / columns; }
};

std::vector<float> scales_of(const std::string& name, const std::vector<float>& local, const Channels& channels) {
  std::vector<float> scales(channels.count, 0.0F);
  for (std::size_t i = 0; i < local.size(); ++i) {
    if (!std::isfinite(local[i])) throw Error(ErrorKind::kConfig, name + ": holds a value that is not finite");
    float& largest = scales[channels.of(i)];
    largest = std::max(largest, std::abs(local[i]));
  }
  for (float& s : scales) s = s > 0 ? s / 127 : 1;
  return scales;
}

}  // namespace

void fill_int8(const Parameter& parameter, const StatePiece& piece, const Memory& memory, const StateValues& values) {
  const std::vector<std::int64_t> shape = parameter.local_shape();
  SS_CHECK(shape.size() == 2 && piece.begin == 0 && piece.home.count == parameter.local_elements(), parameter.name);
  const Channels channels{static_cast<std::size_t>(shape[1]), static_cast<std::size_t>(piece.scales.count),
                          piece.channel_dim == 1};
  const std::vector<float> local = local_values(parameter, piece.role, values);
  const std::vector<float> scales = scales_of(parameter.name, local, channels);
  std::vector<std::int8_t> q(local.size());
  for (std::size_t i = 0; i < local.size(); ++i) {
    const float ratio = std::nearbyint(local[i] / scales[channels.of(i)]);
    q[i] = static_cast<std::int8_t>(std::clamp(ratio, -127.0F, 127.0F));
  }
  write_region(memory, piece.scales, scales.data());
  write_region(memory, piece.home, q.data());
}

}  // namespace shardscope
