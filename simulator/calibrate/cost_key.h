#pragma once
// Which model of a Machine says how long an op takes, and where on it the op lies: what ops of a run are grouped by
// when the machine is fitted to them.
//
//   if (const auto where = cost_place(program, instruction, costs)) groups[where->key].push_back(...);

#include <optional>
#include <string>
#include <variant>

#include "simulator/cost/host_costs.h"

namespace shardscope {

/// A curve of Machine::families, a kind of product or of attention, a collective among so many ranks, the drive.
struct CostKey {
  enum class Model : std::uint8_t { kFamily, kMatMul, kAttention, kCollective, kDrive };
  Model model = Model::kFamily;
  std::string name;  ///< "layer_norm:bf16", "matmul:ta:acc", "attention_backward", "all_reduce", "nvme_read"
  int width = 1;     ///< threads; of collectives ranks
  auto operator<=>(const CostKey&) const = default;
  std::string text() const;  ///< "matmul:ta, 2 threads"
};

struct CostPlace {
  CostKey key;
  double work = 0;  ///< what the model's curve or main term counts: bytes, m n k, of attention S^2 d per key/value head
  /// The shape, with `seconds` 0.
  std::variant<std::monostate, MatMulPoint, AttentionPoint> shape;
};

/// Nothing for what takes no time and for what no single model costs: products of a few rows between two measured
/// numbers of rows, int8 products, attention over a part of the keys.
std::optional<CostPlace> cost_place(const Program& program, const Instruction& instruction, const HostCosts& costs);

}  // namespace shardscope
