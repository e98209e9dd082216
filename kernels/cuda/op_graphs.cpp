#include "kernels/cuda/op_graphs.h"

#include <algorithm>
#include <utility>

namespace shardscope::cuda {
namespace {

/// A stream that captures until this ends, however it ends.
class Recording {
 public:
  explicit Recording(cudaStream_t stream) : stream_(stream) {}
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  ~Recording() {
    if (is_open_) (void)cudaStreamEndCapture(stream_, &graph_);
    if (graph_ != nullptr) (void)cudaGraphDestroy(graph_);
  }
  void begin() {
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal),
          "cudaStreamBeginCapture (--no-graphs runs without)");
    is_open_ = true;
  }
  cudaGraphExec_t finish() {
    is_open_ = false;
    check(cudaStreamEndCapture(stream_, &graph_), "cudaStreamEndCapture (--no-graphs runs without)");
    cudaGraphExec_t made = nullptr;
    check(cudaGraphInstantiate(&made, graph_, 0), "cudaGraphInstantiate (--no-graphs runs without)");
    return made;
  }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
  bool is_open_ = false;
};

/// Copies of pageable memory are taken when they are launched, not when a graph runs.
bool touches_pageable(const Program& program, const Op& op) {
  bool touches = false;
  for_each_access(op, [&](const char* /*name*/, const Region& region, Access /*access*/) {
    touches = touches || (!region.empty() && program.buffer(region.buffer).space == Space::kHost);
  });
  return touches;
}

}  // namespace

void OpGraphs::run(const StepScalars& scalars) {
  if (stretches_.empty()) return run_first(scalars);
  for (Stretch& stretch : stretches_) {
    if (!stretch.in_graph) {
      for (std::size_t i = 0; i < stretch.count; ++i) launch(*ops_[stretch.first + i], memory_, scalars, to_);
      continue;
    }
    if (stretch.graph == nullptr || stretch.scratch != to_.state.scratch()) capture(stretch, scalars);
    replay(stretch);
  }
}

void OpGraphs::run_first(const StepScalars& scalars) {
  std::vector<bool> fits;
  for (const Op* op : ops_) {
    const bool repeats = launch(*op, memory_, scalars, to_);
    fits.push_back(repeats && !touches_pageable(*memory_.program, *op));
  }
  split(fits);
}

void OpGraphs::split(const std::vector<bool>& fits) {
  for (std::size_t first = 0, end = 0; first < fits.size(); first = end) {
    const auto others = std::find(fits.begin() + static_cast<std::ptrdiff_t>(first), fits.end(), !fits[first]);
    end = static_cast<std::size_t>(others - fits.begin());
    if (fits[first]) end = std::min(end, first + kMost);
    Stretch stretch;
    stretch.first = first, stretch.count = end - first;
    stretch.in_graph = fits[first] && stretch.count >= kLeast;
    stretches_.push_back(std::move(stretch));
  }
}

void OpGraphs::capture(Stretch& stretch, const StepScalars& scalars) const {
  Recording recording(to_.state.stream());
  const Op& last = *ops_[stretch.first + stretch.count - 1];
  name_errors(*memory_.program, last, [&] { recording.begin(); });
  for (std::size_t i = 0; i < stretch.count; ++i) {
    launch_into_graph(*ops_[stretch.first + i], memory_, scalars, to_);
  }
  name_errors(*memory_.program, last, [&] { stretch.graph.reset(recording.finish()); });
  stretch.scratch = to_.state.scratch();
}

void OpGraphs::replay(const Stretch& stretch) const {
  const Op& last = *ops_[stretch.first + stretch.count - 1];
  name_errors(*memory_.program, last, [&] {
    check(cudaGraphLaunch(stretch.graph.get(), to_.state.stream()), "cudaGraphLaunch (ops up to this one)");
    to_.progress.mark(*memory_.program, last, to_.state.stream());
  });
}

LaunchCounts OpGraphs::counts() const {
  LaunchCounts counts{.ops = static_cast<std::int64_t>(ops_.size())};
  for (const Stretch& stretch : stretches_) {
    if (stretch.graph == nullptr) continue;
    counts.in_graphs += static_cast<std::int64_t>(stretch.count);
    ++counts.graphs;
  }
  return counts;
}

}  // namespace shardscope::cuda
