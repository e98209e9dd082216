#pragma once
// How long would the measured step have been with something else? Its graph is run again: each piece of work begins
// when what held it up has ended, as long after as measured, and not before all else that it comes after.
//
//   Replay same = replay(graph, {});                                      // as measured
//   Replay other = replay(graph, ReplayChange().with(TimePart::kCommunication, 0.5));   // collectives twice as fast
//
// Bounds on both sides are left out: what begins earlier may compete for the device with what it did not before.

#include <functional>

#include "profiler/query/step_graph.h"

namespace shardscope {

struct ReplayChange {
  /// Factor of the time of each part, by TimePart, of work and of pauses; 1: as measured.
  std::array<double, kTimeParts> scale = all_of(1);
  std::map<int, double> compute_of_rank;  ///< factor of compute and optimizer on one rank, beside `scale`
  bool launches_wait = true;              ///< false: nothing waits for the host, as with CUDA graphs
  bool calls_wait = true;                 ///< false: no call waits for the device
  /// Factor of one piece of work, beside the others; none: 1.
  std::function<double(const WorkOp&)> of_work;

  static constexpr std::array<double, kTimeParts> all_of(double factor) {
    std::array<double, kTimeParts> all{};
    for (double& f : all) f = factor;
    return all;
  }
  ReplayChange& with(TimePart part, double factor) {
    scale[static_cast<std::size_t>(part)] = factor;
    return *this;
  }
};

struct Replay {
  std::int64_t step_ns = 0;      ///< of the graph as it is changed
  std::int64_t measured_ns = 0;  ///< of the graph as it was
  double change() const { return measured_ns == 0 ? 0 : double(step_ns) / double(measured_ns) - 1; }
};

Replay replay(const StepGraph& graph, const ReplayChange& change);

}  // namespace shardscope
