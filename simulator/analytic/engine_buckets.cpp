#include "simulator/analytic/engine_buckets.h"

#include <algorithm>

#include "core/program/passes/tensor_parallel.h"

namespace shardscope {
namespace {

/// What a rank has of the tensor.
double local_elements(const TensorSpec& tensor, const ParallelSpec& parallel) {
  double elements = 1;
  for (const std::int64_t n : tensor.shape) elements *= static_cast<double>(n);
  return tensor_role(tensor, parallel) == TensorRole::kSplit ? elements / parallel.tp : elements;
}

}  // namespace

Buckets buckets_of(const std::vector<double>& tensors, double idle, double largest) {
  double all = 0, done = 0;
  for (const double elements : tensors) all += elements;
  const double working = std::max(1.0, all - idle);
  Buckets b{.count = 0};
  const auto close = [&](double size) {
    const double before = std::min(done, working);
    done += size;
    const Bucket bucket{size, (std::min(done, working) - before) / working};
    if (b.count == 0) b.first = bucket;
    b.last = bucket, b.count += 1;
  };
  double filled = 0;
  for (const double elements : tensors) {
    if (filled > 0 && filled + elements > largest) close(filled), filled = 0;
    filled += elements;
  }
  close(filled);
  if (b.count > 2) {
    b.between = {(all - b.first.parameters - b.last.parameters) / (b.count - 2),
                 (1 - b.first.work - b.last.work) / (b.count - 2)};
  }
  return b;
}

const Buckets& BucketMaker::of(const Stage& stage, int tp, int ep) {
  const auto blocks = static_cast<std::uint64_t>(stage.blocks());
  const std::uint64_t key =
      (((blocks * 4099 + static_cast<std::uint64_t>(tp)) * 4099 + static_cast<std::uint64_t>(ep)) * 2 +
       (stage.first ? 1 : 0)) *
          2 +
      (stage.last ? 1 : 0);
  const auto [found, is_new] = known_.try_emplace(key);
  if (!is_new) return found->second;
  ParallelSpec parallel;
  parallel.tp = tp;
  const std::int64_t begin = stage.last ? model_.layers - static_cast<std::int64_t>(blocks) : 0;
  std::vector<double> tensors;
  double idle = 0, dealt_out = 0;
  const std::vector<TensorSpec> all = list_tensors(model_);
  for (auto tensor = all.rbegin(); tensor != all.rend(); ++tensor) {
    const bool before = tensor->layer < 0, after = tensor->layer >= model_.layers;
    const bool here = before  ? stage.first
                      : after ? stage.last
                              : tensor->layer >= begin && tensor->layer < begin + static_cast<std::int64_t>(blocks);
    if (!here) continue;
    if (tensor->expert >= 0 && ep > 1) {
      dealt_out += local_elements(*tensor, parallel) / ep;
      continue;
    }
    tensors.push_back(local_elements(*tensor, parallel));
    if (before) idle += tensors.back();
  }
  found->second = buckets_of(tensors, idle, largest_);
  found->second.dealt_out = dealt_out;
  return found->second;
}

}  // namespace shardscope
