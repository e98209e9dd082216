#include "profiler/query/step_transfers.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <tuple>

namespace shardscope {
namespace {

using Queue = std::vector<std::int32_t>;  ///< nodes in order

/// How far apart the ends of the sends and receives of two queues are, all together; nothing if they are not as many.
std::optional<std::int64_t> apart(const StepGraph& graph, const Queue& sends, const Queue& receives) {
  if (sends.size() != receives.size()) return std::nullopt;
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < sends.size(); ++i)
    sum += std::abs(graph.nodes[std::size_t(sends[i])].time.end_ns - graph.nodes[std::size_t(receives[i])].time.end_ns);
  return sum;
}

/// Makes a call of the ends of a transfer, or of the parts of a shift.
void join(Queue parts, StepGraph& graph) {
  std::sort(parts.begin(), parts.end());
  const std::int32_t last = parts.back();
  const std::int64_t met = graph.nodes[std::size_t(last)].time.begin_ns;
  for (std::int32_t part : parts) {
    StepNode& n = graph.nodes[std::size_t(part)];
    n.call = static_cast<std::int32_t>(graph.calls.size());
    n.wait_ns = met >= n.time.end_ns ? 0 : met - n.time.begin_ns;  // 0: it had gone before
  }
  graph.calls.push_back({std::move(parts), last});
}

/// Those of which both ends are known: in order, each the next of its receiver's.
void match_known_transfers(const Orders& orders, StepGraph& graph) {
  std::map<std::tuple<int, int, bool>, std::array<Queue, 2>> between;  // by sender, receiver and way
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const StepNode& n = graph.nodes[i];
    const OpOrder& order = orders.at(n.rank);
    const auto found = n.on_device && n.step == graph.step ? order.transfers.find(n.op) : order.transfers.end();
    if (found == order.transfers.end() || n.call >= 0) continue;
    const auto [peer, sends, back] = found->second;
    between[{sends ? n.rank : peer, sends ? peer : n.rank, back}][sends ? 0 : 1].push_back(std::int32_t(i));
  }
  for (const auto& [way, ends] : between) {
    const auto& [sends, receives] = ends;
    if (sends.size() != receives.size()) continue;  // the profile lacks some
    for (std::size_t i = 0; i < sends.size(); ++i) join({sends[i], receives[i]}, graph);
  }
}

/// The first shift of each rank of a ring, the second of each, ...
void match_rings(const Orders& orders, const std::vector<std::pair<int, int>>& queues, StepGraph& graph) {
  std::map<std::string, std::map<std::pair<int, int>, Queue>> rings;  // by lane and ranks, then rank and queue
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const StepNode& n = graph.nodes[i];
    const OpOrder& order = orders.at(n.rank);
    const auto found = n.on_device && n.step == graph.step ? order.rings.find(n.op) : order.rings.end();
    if (found != order.rings.end() && n.call < 0) rings[found->second][queues[i]].push_back(std::int32_t(i));
  }
  for (const auto& [ring, of_rank] : rings) {
    const std::size_t times = of_rank.begin()->second.size();
    const bool alike =
        std::all_of(of_rank.begin(), of_rank.end(), [&](const auto& q) { return q.second.size() == times; });
    for (std::size_t i = 0; alike && of_rank.size() > 1 && i < times; ++i) {
      Queue parts;
      for (const auto& [queue, shifts] : of_rank) parts.push_back(shifts[i]);
      join(std::move(parts), graph);
    }
  }
}

/// A send and its receive end together. Where a profile does not say who sends to whom, each queue of receives belongs
/// to the queue of sends of another rank that ends nearest to it, in order, if that is near: within a twentieth of the
/// step each.
void match_other_transfers(const std::vector<std::pair<int, int>>& queues, StepGraph& graph) {
  std::map<std::pair<int, int>, Queue> sends, receives;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const StepNode& n = graph.nodes[i];
    if (n.part != TimePart::kCommunication || n.call >= 0) continue;
    if (n.time.end_ns <= graph.time.begin_ns) continue;  // of the step before, of which only a part is here
    const std::string& kind = graph.op(n).kind;
    if (kind == "send") sends[queues[i]].push_back(static_cast<std::int32_t>(i));
    if (kind == "recv") receives[queues[i]].push_back(static_cast<std::int32_t>(i));
  }
  for (const auto& [to, received] : receives) {
    auto nearest = sends.end();
    std::int64_t least = graph.time.length() / 20 * static_cast<std::int64_t>(received.size());
    for (auto sent = sends.begin(); sent != sends.end(); ++sent) {
      const bool own = sent->first.first == to.first;
      const std::optional<std::int64_t> sum = own ? std::nullopt : apart(graph, sent->second, received);
      if (!sum || *sum >= least) continue;
      least = *sum;
      nearest = sent;
    }
    if (nearest == sends.end()) continue;
    for (std::size_t i = 0; i < received.size(); ++i) join({nearest->second[i], received[i]}, graph);
    sends.erase(nearest);
  }
}

}  // namespace

void match_transfers(const Orders& orders, const std::vector<std::pair<int, int>>& queues, StepGraph& graph) {
  match_known_transfers(orders, graph);
  match_rings(orders, queues, graph);
  match_other_transfers(queues, graph);
}

}  // namespace shardscope
