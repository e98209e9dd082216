#include "profiler/query/replay.h"

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

class Run {
 public:
  Run(const StepGraph& graph, const ReplayChange& change)
      : graph_(graph), change_(change), times_(graph.nodes.size()) {}

  std::int64_t length() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) start(static_cast<std::int32_t>(i));
    std::int64_t end = graph_.time.begin_ns;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const StepNode& n = graph_.nodes[i];
      if (!n.on_device && !change_.launches_wait) continue;
      // What the step still has before it ends comes after its last work; what goes on beyond it is cut there.
      const std::int64_t after = graph_.time.end_ns - n.time.end_ns;
      end =
          std::max(end, times_[i].end_ns + (i == std::size_t(graph_.last) ? after : std::min<std::int64_t>(after, 0)));
    }
    return end - graph_.time.begin_ns;
  }

 private:
  static std::int64_t scaled(std::int64_t ns, double factor) {
    return factor == 1 ? ns : std::llround(static_cast<double>(ns) * factor);
  }
  double factor(const StepNode& n) const {
    double own = change_.scale[static_cast<std::size_t>(n.part)];
    if (change_.of_work && n.on_device) own *= change_.of_work(graph_.op(n));
    const bool computes = n.part == TimePart::kCompute || n.part == TimePart::kOptimizer;
    const auto of_rank = computes ? change_.compute_of_rank.find(n.rank) : change_.compute_of_rank.end();
    return of_rank == change_.compute_of_rank.end() ? own : own * of_rank->second;
  }
  const StepNode& node(std::int32_t i) const { return graph_.nodes[static_cast<std::size_t>(i)]; }

  /// Time from the end of what held the node up to its begin, part by part of what it is.
  std::int64_t pause(const StepNode& n, const StepNode& holder) const {
    const std::int64_t from = holder.time.end_ns, all = n.time.begin_ns - from;
    if (all <= 0) return all;
    const bool on_device = n.on_device && holder.on_device;
    const TimePart part = on_device ? TimePart::kIdleQueued : TimePart::kIdleLaunch;
    std::int64_t reading = 0;
    const auto data = graph_.data.find(n.rank);
    if (!on_device && data != graph_.data.end()) {
      for (const TimeWindow& t : data->second)
        reading += std::max<std::int64_t>(0, std::min(t.end_ns, n.time.begin_ns) - std::max(t.begin_ns, from));
    }
    reading = std::min(reading, all);
    return scaled(all - reading, change_.scale[static_cast<std::size_t>(part)]) +
           scaled(reading, change_.scale[static_cast<std::size_t>(TimePart::kIdleData)]);
  }

  void start(std::int32_t i) {
    const StepNode& n = node(i);
    Times& t = times_[static_cast<std::size_t>(i)];
    if (n.time.begin_ns < graph_.time.begin_ns) {  // the step before is as it was
      t = {n.time.begin_ns, n.time.end_ns};
      return;
    }
    std::int64_t begin = n.held_by < 0 ? n.time.begin_ns : INT64_MIN;
    const auto after = [&](std::int32_t before) {
      if (before < 0 || before >= i) return;
      if (before == n.launch && !change_.launches_wait) return;
      const StepNode& b = node(before);
      const std::int64_t end = times_[static_cast<std::size_t>(before)].end_ns;
      // What was measured to overlap may overlap again.
      const std::int64_t measured = n.time.begin_ns - b.time.end_ns;
      begin = std::max(begin, end + (before == n.held_by ? pause(n, b) : std::min<std::int64_t>(measured, 0)));
    };
    for (std::int32_t before : {n.previous, n.launch}) after(before);
    for (std::int32_t before : n.others) after(before);
    if (n.held_by >= i) begin = std::max(begin, n.time.begin_ns);
    if (!change_.launches_wait) begin = std::max(begin, graph_.time.begin_ns);
    t.begin_ns = begin;
    finish(i);
  }

  void finish(std::int32_t i) {
    const StepNode& n = node(i);
    const std::int64_t begin = times_[static_cast<std::size_t>(i)].begin_ns;
    if (n.call >= 0) return meet(i);
    if (n.synchronizes >= 0) return synchronize(i);
    set_end(i, begin + scaled(n.wait_ns, change_.scale[static_cast<std::size_t>(TimePart::kWaiting)]) +
                   scaled(n.time.length() - n.wait_ns, factor(n)));
  }

  /// The last rank's part comes last: then all parts have begun.
  void meet(std::int32_t i) {
    const GraphCall& call = graph_.calls[static_cast<std::size_t>(node(i).call)];
    if (i != call.last) {
      set_end(i, times_[static_cast<std::size_t>(i)].begin_ns + node(i).time.length());  // until it is known
      return;
    }
    std::int64_t met = INT64_MIN;
    for (std::int32_t part : call.nodes) met = std::max(met, times_[static_cast<std::size_t>(part)].begin_ns);
    for (std::int32_t part : call.nodes) {
      const std::int64_t moving = node(part).time.end_ns - node(i).time.begin_ns;
      set_end(part, met + (moving > 0 ? scaled(moving, factor(node(part))) : moving));
    }
  }

  /// A call returns as long after the work that it waits for as measured. That may begin later than the call.
  void synchronize(std::int32_t i) {
    const StepNode& n = node(i);
    const std::int64_t begin = times_[static_cast<std::size_t>(i)].begin_ns;
    if (!change_.calls_wait) return set_end(i, begin);
    if (n.synchronizes < i) return set_end(i, std::max(begin, returned(i)));
    waiting_[n.synchronizes].push_back(i);
    set_end(i, begin + n.time.length());
  }
  std::int64_t returned(std::int32_t call) const {
    const std::int32_t work = node(call).synchronizes;
    return times_[static_cast<std::size_t>(work)].end_ns + node(call).time.end_ns - node(work).time.end_ns;
  }

  void set_end(std::int32_t i, std::int64_t end_ns) {
    times_[static_cast<std::size_t>(i)].end_ns = end_ns;
    const auto calls = waiting_.find(i);
    if (calls == waiting_.end()) return;
    for (std::int32_t call : calls->second) {
      Times& t = times_[static_cast<std::size_t>(call)];
      t.end_ns = std::max(t.begin_ns, returned(call));
    }
  }

  struct Times {
    std::int64_t begin_ns = 0, end_ns = 0;
  };
  const StepGraph& graph_;
  const ReplayChange& change_;
  std::vector<Times> times_;
  std::map<std::int32_t, std::vector<std::int32_t>> waiting_;  ///< by work: calls that began before it
};

}  // namespace

Replay replay(const StepGraph& graph, const ReplayChange& change) {
  return {Run(graph, change).length(), Run(graph, {}).length()};
}

}  // namespace shardscope
