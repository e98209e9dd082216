#include "profiler/query/critical_path.h"

#include <algorithm>

namespace shardscope {
namespace {

/// Walks backward; `now_` is the instant up to which all later time is explained.
class Walk {
 public:
  explicit Walk(const StepGraph& graph) : graph_(graph), now_(graph.time.end_ns) {}

  std::vector<PathSegment> run() {
    if (graph_.last < 0) {
      add(graph_.nodes.empty() ? 0 : graph_.nodes.front().rank, TimePart::kNotKnown, graph_.time.begin_ns, -1);
      return finished();
    }
    std::int32_t at = graph_.last;
    pause(node(at), node(at).time.end_ns, -1);
    // Pieces of no length could hold each other up for ever.
    for (std::size_t steps = 0; at >= 0 && now_ > graph_.time.begin_ns && steps < 4 * graph_.nodes.size() + 16; ++steps)
      at = through(at);
    add(rank_, graph_.has_host ? TimePart::kIdleLaunch : TimePart::kIdleUnknown, graph_.time.begin_ns, -1);
    return finished();
  }

 private:
  const StepNode& node(std::int32_t i) const { return graph_.nodes[static_cast<std::size_t>(i)]; }

  void add(int rank, TimePart part, std::int64_t from_ns, std::int32_t of) {
    rank_ = rank;
    from_ns = std::max(from_ns, graph_.time.begin_ns);
    if (from_ns >= now_) return;
    segments_.push_back({rank, part, {from_ns, now_}, of});
    now_ = from_ns;
  }

  /// Time between the end of what held `next` up and its begin.
  void pause(const StepNode& next, std::int64_t from_ns, std::int32_t holder) {
    TimePart part = graph_.has_host ? TimePart::kIdleLaunch : TimePart::kIdleUnknown;
    const bool on_device = holder >= 0 && next.on_device && node(holder).on_device;
    if (on_device && graph_.has_host) part = TimePart::kIdleQueued;
    if (holder >= 0 && !next.on_device && node(holder).on_device) part = TimePart::kIdleSync;
    if (!on_device) through_data(next.rank, part, from_ns);
    add(next.rank, part, from_ns, -1);
  }

  /// Of the host's time from there to now, what it read batches in.
  void through_data(int rank, TimePart otherwise, std::int64_t from_ns) {
    const auto found = graph_.data.find(rank);
    if (found == graph_.data.end()) return;
    for (auto range = found->second.rbegin(); range != found->second.rend(); ++range) {
      if (range->begin_ns >= now_ || range->end_ns <= from_ns) continue;
      add(rank, otherwise, std::max(range->end_ns, from_ns), -1);
      add(rank, TimePart::kIdleData, std::max(range->begin_ns, from_ns), -1);
    }
  }

  /// Through a piece of work to what held it up; -1: nothing.
  std::int32_t through(std::int32_t at) {
    const StepNode& n = node(at);
    if (n.synchronizes >= 0) {
      add(n.rank, TimePart::kIdleSync, node(n.synchronizes).time.end_ns, at);
      return n.synchronizes;
    }
    if (n.wait_ns > 0) {
      const std::int64_t moves_from = n.time.begin_ns + n.wait_ns;
      const std::int32_t last = n.call < 0 ? at : graph_.calls[static_cast<std::size_t>(n.call)].last;
      add(n.rank, n.part, std::min(moves_from, last == at ? moves_from : node(last).time.begin_ns), at);
      if (last != at) return before(last);                   // the others waited for it
      add(n.rank, TimePart::kWaiting, n.time.begin_ns, at);  // for whom is not known
    }
    add(n.rank, n.part, n.time.begin_ns, at);
    return before(at);
  }

  std::int32_t before(std::int32_t at) {
    const StepNode& n = node(at);
    rank_ = n.rank;
    if (n.held_by < 0) return -1;
    const StepNode& holder = node(n.held_by);
    pause(n, std::min(holder.time.end_ns, now_), n.held_by);
    return n.held_by;
  }

  std::vector<PathSegment> finished() {
    std::reverse(segments_.begin(), segments_.end());
    return std::move(segments_);
  }

  const StepGraph& graph_;
  std::int64_t now_;
  int rank_ = 0;
  std::vector<PathSegment> segments_;
};

void add_up(const StepGraph& graph, CriticalPath& path) {
  std::map<std::pair<std::string, std::string>, PathWork> work;
  const PathSegment* before = nullptr;
  for (const PathSegment& s : path.segments) {
    path.ns[s.part] += s.time.length();
    path.by_rank[s.rank] += s.time.length();
    path.rank_changes += before != nullptr && before->rank != s.rank ? 1 : 0;
    before = &s;
    if (s.node < 0) continue;
    const WorkOp& op = graph.op(graph.nodes[static_cast<std::size_t>(s.node)]);
    PathWork& sum = work.try_emplace({op.kind, op.name}, PathWork{op.kind, op.name, s.part, 0, 0}).first->second;
    sum.ns += s.time.length();
    ++sum.count;
  }
  for (auto& [name, sum] : work) path.work.push_back(std::move(sum));
  std::stable_sort(path.work.begin(), path.work.end(),
                   [](const PathWork& a, const PathWork& b) { return a.ns > b.ns; });
}

}  // namespace

CriticalPath critical_path(const StepGraph& graph) {
  CriticalPath path;
  path.step = graph.step;
  path.time = graph.time;
  path.segments = Walk(graph).run();
  add_up(graph, path);
  if (!graph.has_host) {
    path.remarks.emplace_back(
        "Calls of the host were not recorded: work that begins late for no reason on the device is idle: unknown.");
  }
  if (path.part(TimePart::kWaiting) > 0) {
    path.remarks.emplace_back(
        "For some waiting it is not known for whom: its collective or receive has no match on another rank.");
  }
  return path;
}

}  // namespace shardscope
