#include "core/program/partition.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace shardscope {
namespace {

/// Weight of the blocks, and of what the ends carry besides.
struct Weights {
  double block = 1, first = 0, last = 0;
};

Weights weigh(const ModelSpec& model, Partition partition, std::int64_t seq) {
  if (partition == Partition::kUniform) return {};
  double first = 0, blocks = 0, last = 0;
  for (const TensorSpec& t : list_tensors(model)) {
    double elements = 1;
    for (std::int64_t dim : t.shape) elements *= static_cast<double>(dim);
    (t.layer < 0 ? first : (t.layer < model.layers ? blocks : last)) += elements;
  }
  const double block = blocks / static_cast<double>(model.layers);
  const double head = static_cast<double>(model.vocab_size * model.hidden);
  if (partition == Partition::kParameters) return {block, first, last + (model.tied_embeddings ? head : 0)};
  const double attention =
      2.0 * static_cast<double>(model.heads * model.head_dim * (seq + 1));  // FLOPs, as 2 per weight
  return {2 * block + attention, 0, 2 * head};                              // embeddings only look up
}

/// Fewest stages-limited maximum: dynamic programming over (stages used, blocks placed).
std::vector<int> split(const Weights& w, int blocks, int stages) {
  const auto cost = [&](int from, int to) {
    return w.block * (to - from) + (from == 0 ? w.first : 0) + (to == blocks ? w.last : 0);
  };
  const std::size_t columns = static_cast<std::size_t>(blocks) + 1;
  const auto at = [&](int s, int b) { return static_cast<std::size_t>(s) * columns + static_cast<std::size_t>(b); };
  std::vector<double> best(at(stages, blocks) + 1, 1e300);
  std::vector<int> cut(best.size(), 0);
  best[at(0, 0)] = 0;
  for (int s = 1; s <= stages; ++s) {
    for (int b = s; b <= blocks - (stages - s); ++b) {
      for (int from = s - 1; from < b; ++from) {
        const double worst = std::max(best[at(s - 1, from)], cost(from, b));
        if (worst < best[at(s, b)]) best[at(s, b)] = worst, cut[at(s, b)] = from;
      }
    }
  }
  std::vector<int> firsts{blocks};
  for (int s = stages; s > 0; --s) firsts.insert(firsts.begin(), cut[at(s, firsts.front())]);
  return firsts;
}

}  // namespace

std::vector<int> partition_layers(const ModelSpec& model, Partition partition, int stages, std::int64_t seq) {
  const int blocks = static_cast<int>(model.layers);
  if (stages > blocks) {
    throw Error(ErrorKind::kConfig, fmt::format("parallel.pp: {} pipeline stages (ranks * chunks), but model {} has {} "
                                                "blocks; use at most {}",
                                                stages, model.name, blocks, blocks));
  }
  return split(weigh(model, partition, seq), blocks, stages);
}

}  // namespace shardscope
