#include "profiler/query/step_graph.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "core/error.h"
#include "profiler/query/step_transfers.h"

namespace shardscope {
namespace {

/// Queues go on within this after what they did before; so much later something else held them up. Guess: gaps between
/// kernels of a stream are some us, those between ops of our own lanes some more.
constexpr std::int64_t kTightNs = 10'000;
/// A call may return a little before the work that it waits for is stamped as done: clocks of device and host differ.
constexpr std::int64_t kClockNs = 5'000;

/// Ranks that end a step within this part of it end together: then the one that worked last ends it.
constexpr std::int64_t kTogether = 100;

TimePart part_of_slice(const RankWork& work, const DeviceSlice& s) {
  if (work.op(s.op).opaque) return TimePart::kNotKnown;
  if (s.activity == Activity::kCompute && s.phase == Phase::kOptimizer) return TimePart::kOptimizer;
  switch (s.activity) {
    case Activity::kOptimizer:
      return TimePart::kOptimizer;
    case Activity::kLoad:
      return TimePart::kLoad;
    case Activity::kCommunication:
      return TimePart::kCommunication;
    case Activity::kOffload:
      return TimePart::kCopies;
    case Activity::kCompute:
    case Activity::kNone:
      break;
  }
  return TimePart::kCompute;
}

TimePart part_of_call(HostKind kind) {
  if (kind == HostKind::kSync) return TimePart::kIdleSync;
  return kind == HostKind::kAllocation ? TimePart::kIdleAllocation : TimePart::kIdleLaunch;
}

TimeWindow moved(TimeWindow time, const RankClock& clock) {
  const std::int64_t begin = common_ns(clock, time.begin_ns);
  return {begin, begin + time.length()};
}

std::tuple<std::int64_t, std::int64_t, std::int32_t> key_of(const WaitedCall& call) {
  return {call.start_ns, call.end_ns, call.op};
}

/// The nodes of one rank, still to be put in order.
struct Unordered {
  StepNode node;
  std::pair<int, int> queue;  ///< rank, track; of calls the thread
  std::int32_t launch = -1;   ///< index among the rank's calls
  std::int32_t host = -1;     ///< of a call: that index
  std::int64_t call = -1;     ///< index of the collective in MatchedCollectives
};

void add_rank(const RankWork& work, const RankClock& clock, const std::vector<WaitedCall>& waits, TimeWindow window,
              std::vector<Unordered>& all, StepGraph& graph) {
  const auto overlaps = [&](TimeWindow t) { return t.begin_ns < window.end_ns && t.end_ns > window.begin_ns; };
  for (const DeviceSlice& s : work.device) {
    const TimeWindow time = moved(s.time, clock);
    if (!overlaps(time)) continue;
    Unordered n{{work.rank, true, s.op, s.step, part_of_slice(work, s), time, s.wait_ns},
                {work.rank, s.track},
                s.launch,
                -1,
                -1};
    if (s.activity == Activity::kCommunication) {
      const auto key = std::tuple(s.time.begin_ns, s.time.end_ns, s.op);
      const auto found = std::lower_bound(waits.begin(), waits.end(), key,
                                          [](const WaitedCall& w, const auto& k) { return key_of(w) < k; });
      const bool same = found != waits.end() && key_of(*found) == key;
      if (same) n.node.wait_ns = found->wait_ns;
      if (same) n.call = static_cast<std::int64_t>(found->call);
    }
    all.push_back(n);
  }
  for (std::size_t i = 0; i < work.host.size(); ++i) {
    const HostSlice& s = work.host[i];
    const TimeWindow time = moved(s.time, clock);
    if (!overlaps(time)) continue;
    if (s.kind == HostKind::kData) {
      graph.data[work.rank].push_back(time);
      continue;
    }
    graph.has_host = true;
    all.push_back({{work.rank, false, s.op, -1, part_of_call(s.kind), time, 0},
                   {work.rank, -1 - s.track},
                   -1,
                   static_cast<std::int32_t>(i),
                   -1});
  }
}

/// In order of begin, launches and collectives as indices of nodes. Returns the queue of each node.
std::vector<std::pair<int, int>> put_in_order(std::vector<Unordered>& all, StepGraph& graph) {
  std::stable_sort(all.begin(), all.end(),
                   [](const Unordered& a, const Unordered& b) { return a.node.time.begin_ns < b.node.time.begin_ns; });
  std::map<std::pair<int, std::int32_t>, std::int32_t> calls_of_host;
  std::map<std::int64_t, std::vector<std::int32_t>> collectives;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto index = static_cast<std::int32_t>(i);
    if (all[i].host >= 0) calls_of_host[{all[i].node.rank, all[i].host}] = index;
    if (all[i].call >= 0) collectives[all[i].call].push_back(index);
  }
  std::vector<std::pair<int, int>> queues;
  for (Unordered& n : all) {
    const auto launch = n.launch < 0 ? calls_of_host.end() : calls_of_host.find({n.node.rank, n.launch});
    if (launch != calls_of_host.end()) n.node.launch = launch->second;
    graph.nodes.push_back(n.node);
    queues.push_back(n.queue);
  }
  for (auto& [number, nodes] : collectives) {
    if (nodes.size() < 2) continue;
    for (std::int32_t node : nodes) graph.nodes[static_cast<std::size_t>(node)].call = std::int32_t(graph.calls.size());
    graph.calls.push_back({nodes, nodes.back()});
  }
  return queues;
}

/// `others` as the programs have them. The first work of a queue in a step may wait for nothing that its program
/// names, and yet for the end of the step before: that stays a guess.
void order_by_programs(const Orders& orders, const std::vector<std::pair<int, int>>& queues, StepGraph& graph) {
  std::map<std::pair<int, std::int32_t>, std::int32_t> nodes;  // of the step, by rank and op
  std::set<std::pair<int, int>> begun;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    StepNode& n = graph.nodes[i];
    const OpOrder& order = orders.at(n.rank);
    if (!n.on_device || n.step != graph.step || order.after.empty()) continue;
    for (const std::int32_t op : order.after[static_cast<std::size_t>(n.op)])
      if (const auto found = nodes.find({n.rank, op}); found != nodes.end()) n.others.push_back(found->second);
    nodes[{n.rank, n.op}] = static_cast<std::int32_t>(i);
    n.is_order_known = !begun.insert(queues[i]).second || !n.others.empty();
  }
}

/// Nodes of one rank, of its device or of its host, in order of end.
using ByEnd = std::vector<std::int32_t>;

ByEnd by_end(const StepGraph& graph, int rank, bool on_device) {
  ByEnd order;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].rank == rank && graph.nodes[i].on_device == on_device)
      order.push_back(static_cast<std::int32_t>(i));
  }
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return graph.nodes[std::size_t(a)].time.end_ns < graph.nodes[std::size_t(b)].time.end_ns;
  });
  return order;
}

/// What ended last, not after `time_ns`; of nodes before `below` only. -1: nothing.
std::int32_t ended_last(const StepGraph& graph, const ByEnd& order, std::int64_t time_ns, std::int32_t below) {
  auto at = std::upper_bound(order.begin(), order.end(), time_ns, [&](std::int64_t t, std::int32_t i) {
    return t < graph.nodes[std::size_t(i)].time.end_ns;
  });
  while (at != order.begin() && *(at - 1) >= below) --at;
  return at == order.begin() ? -1 : *(at - 1);
}

/// Which of what came before held the node up.
std::int32_t holder(const StepGraph& graph, const StepNode& node) {
  const auto end_of = [&](std::int32_t i) {
    const StepNode& n = graph.nodes[std::size_t(i)];
    // What is launched may begin before the call that launches it returns.
    return i == node.launch ? std::min(n.time.end_ns, node.time.begin_ns) : n.time.end_ns;
  };
  const std::int64_t begin = node.time.begin_ns;
  if (!node.on_device) return node.previous;
  std::int32_t latest = -1;
  const auto compare = [&](std::int32_t i) {
    if (i >= 0 && (latest < 0 || end_of(i) > end_of(latest))) latest = i;
  };
  for (std::int32_t i : {node.previous, node.launch}) compare(i);
  for (std::int32_t i : node.others) compare(i);
  if (node.is_order_known) return latest;
  const bool queue = node.previous >= 0, launched = node.launch >= 0;
  const std::int64_t after_queue = queue ? begin - end_of(node.previous) : INT64_MAX,
                     after_launch = launched ? begin - end_of(node.launch) : INT64_MAX;
  if (queue && after_queue <= kTightNs && after_queue <= after_launch) return node.previous;
  if (launched && after_launch <= kLaunchLatencyNs && after_launch < after_queue) return node.launch;
  return latest;
}

void find_last(StepGraph& graph, const std::set<int>& ranks) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const StepNode& n = graph.nodes[i];
    if (ranks.count(n.rank) == 0 || n.time.begin_ns >= graph.time.end_ns) continue;
    const StepNode* last = graph.last < 0 ? nullptr : &graph.nodes[std::size_t(graph.last)];
    const auto key = [&](const StepNode& m) {  // work of the device that is still under way before calls that are
      return std::tuple(std::min(m.time.end_ns, graph.time.end_ns), m.on_device, m.time.end_ns);
    };
    if (last == nullptr || key(n) >= key(*last)) graph.last = static_cast<std::int32_t>(i);
  }
}

}  // namespace

void tie_nodes(StepGraph& graph, const std::vector<std::pair<int, int>>& queues, const std::set<int>& last_ranks) {
  std::map<std::pair<int, int>, std::int32_t> latest;  // of each queue
  std::map<std::pair<int, bool>, ByEnd> ends;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    StepNode& node = graph.nodes[i];
    const auto index = static_cast<std::int32_t>(i);
    const auto order = [&](bool on_device) -> const ByEnd& {
      auto [found, is_new] = ends.try_emplace({node.rank, on_device});
      if (is_new) found->second = by_end(graph, node.rank, on_device);
      return found->second;
    };
    if (node.on_device) {
      const auto [before, is_new] = latest.try_emplace(queues[i], index);
      if (!is_new) node.previous = std::exchange(before->second, index);
      if (node.is_order_known) continue;
      const std::int32_t other = ended_last(graph, order(true), node.time.begin_ns, index);
      if (other >= 0) node.others.assign(1, other);
    } else {
      node.previous = ended_last(graph, order(false), node.time.begin_ns, index);
      if (node.part != TimePart::kIdleSync) continue;
      const std::int32_t waits = ended_last(graph, order(true), node.time.end_ns + kClockNs, INT32_MAX);
      if (waits >= 0 && graph.nodes[std::size_t(waits)].time.end_ns > node.time.begin_ns) node.synchronizes = waits;
    }
  }
  for (StepNode& node : graph.nodes) node.held_by = holder(graph, node);
  find_last(graph, last_ranks);
}

StepGraphSource::StepGraphSource(const Profile& profile, std::int64_t run)
    : profile_(profile), run_(run), steps_(run_steps(profile, run)) {
  const MatchedCollectives matched = match_collectives(profile, run);
  const ClockAlignment clocks = align_clocks(matched);
  for (const RankClock& clock : clocks.ranks) clocks_[clock.rank] = clock;
  for (const WaitedCall& call : waited_calls(matched, clocks)) waits_[call.rank].push_back(call);
  for (auto& [rank, calls] : waits_) {
    std::sort(calls.begin(), calls.end(),
              [](const WaitedCall& a, const WaitedCall& b) { return key_of(a) < key_of(b); });
  }
}

std::optional<std::int64_t> StepGraphSource::usual_step() const {
  std::map<std::int64_t, std::int64_t> longest;
  for (const RunStep& s : counted_steps(steps_)) longest[s.step] = std::max(longest[s.step], s.time.length());
  std::vector<std::pair<std::int64_t, std::int64_t>> by_length;
  for (const auto& [step, length] : longest) by_length.emplace_back(length, step);
  if (by_length.empty()) return std::nullopt;
  std::sort(by_length.begin(), by_length.end());
  return by_length[(by_length.size() - 1) / 2].second;
}

StepGraph StepGraphSource::graph(std::int64_t step) const {
  StepGraph graph;
  graph.step = step;
  graph.time = {INT64_MAX, INT64_MIN};
  std::map<int, std::int64_t> ends;
  const auto clock_of = [&](int rank) {
    const auto found = clocks_.find(rank);
    return found == clocks_.end() ? RankClock{.rank = rank, .may_be_same = true} : found->second;
  };
  for (const RunStep& s : steps_.steps) {
    if (s.step != step) continue;
    const TimeWindow time = moved(s.time, clock_of(s.rank));
    graph.time.begin_ns = std::min(graph.time.begin_ns, time.begin_ns);
    ends[s.rank] = time.end_ns;
    graph.time.end_ns = std::max(graph.time.end_ns, time.end_ns);
  }
  if (ends.empty()) {
    throw Error(ErrorKind::kConfig,
                profile_.path() + ": run " + std::to_string(run_) + " has no step " + std::to_string(step));
  }
  std::vector<Unordered> all;
  Orders orders;
  for (const RunStep& s : steps_.steps) {
    if (s.step != step) continue;
    const RankClock clock = clock_of(s.rank);
    const std::int64_t ahead = common_ns(clock, s.time.begin_ns) - s.time.begin_ns;
    const RankWorkReader reader(profile_, run_, s.rank);
    graph.ops[s.rank] = reader.ops();
    // Launches of the step's first work come before it.
    const std::int64_t before = std::min<std::int64_t>(graph.time.length(), 1'000'000'000);
    const RankWork work = reader.read({graph.time.begin_ns - ahead - before, graph.time.end_ns - ahead});
    std::set<std::int32_t> worked;
    for (const DeviceSlice& slice : work.device) worked.insert(slice.op);
    orders[s.rank] =
        read_op_order(profile_, run_, s.rank, [&](std::int32_t op) { return worked.find(op) != worked.end(); });
    const auto waits = waits_.find(s.rank);
    static const std::vector<WaitedCall> kNone;
    add_rank(work, clock, waits == waits_.end() ? kNone : waits->second,
             {graph.time.begin_ns - before, graph.time.end_ns}, all, graph);
  }
  std::set<int> last_ranks;
  for (const auto& [rank, end] : ends)
    if (graph.time.end_ns - end <= graph.time.length() / kTogether) last_ranks.insert(rank);
  const std::vector<std::pair<int, int>> queues = put_in_order(all, graph);
  match_transfers(orders, queues, graph);
  order_by_programs(orders, queues, graph);
  tie_nodes(graph, queues, last_ranks);
  return graph;
}

}  // namespace shardscope
