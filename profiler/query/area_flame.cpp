#include "profiler/query/area_flame.h"

#include <algorithm>
#include <map>

namespace shardscope {
namespace {

/// "h.3.mlp" as h, *, mlp.
std::vector<std::string> module_path(const TimelineOp& op) {
  std::vector<std::string> path;
  if (!op.phase.empty()) path.push_back(op.phase);
  for (std::size_t at = 0; at < op.name.size();) {
    const std::size_t dot = std::min(op.name.find('.', at), op.name.size());
    std::string part = op.name.substr(at, dot - at);
    at = dot + 1;
    if (part.empty()) continue;
    if (part.find_first_not_of("0123456789") == std::string::npos) part = "*";
    path.push_back(std::move(part));
  }
  path.push_back(op.kind);
  return path;
}

class Flame {
 public:
  Flame() { nodes_.push_back({.name = "all"}); }

  int child(int of, const std::string& name) {
    const auto [known, is_new] = known_.try_emplace({of, name}, static_cast<int>(nodes_.size()));
    if (!is_new) return known->second;
    nodes_.push_back({.name = name, .parent = of, .depth = nodes_[static_cast<std::size_t>(of)].depth + 1});
    nodes_[static_cast<std::size_t>(of)].children.push_back(known->second);
    return known->second;
  }

  /// To a node, and to all above it.
  void add(int node, WorkClass work, std::int64_t ns) {
    ++at(node).count;
    for (int up = node; up >= 0; up = at(up).parent) {
      at(up).total_ns += ns;
      by_work_[up][work] += ns;
    }
  }

  /// To a node alone: those above it hold its time already.
  void add_nested(int node, WorkClass work, std::int64_t ns) {
    ++at(node).count;
    at(node).total_ns += ns;
    by_work_[node][work] += ns;
  }

  std::vector<FlameNode> take() {
    for (auto& [node, works] : by_work_) {
      const auto longest = std::max_element(works.begin(), works.end(),
                                            [](const auto& a, const auto& b) { return a.second < b.second; });
      at(node).work = longest->first;
    }
    for (FlameNode& node : nodes_) {
      node.self_ns = node.total_ns;
      for (int child : node.children) node.self_ns -= at(child).total_ns;
      node.self_ns = std::max<std::int64_t>(0, node.self_ns);
      std::stable_sort(node.children.begin(), node.children.end(),
                       [&](int a, int b) { return at(a).total_ns > at(b).total_ns; });
    }
    return std::move(nodes_);
  }

 private:
  FlameNode& at(int node) { return nodes_[static_cast<std::size_t>(node)]; }
  std::vector<FlameNode> nodes_;
  std::map<std::pair<int, std::string>, int> known_;
  std::map<int, std::map<WorkClass, std::int64_t>> by_work_;
};

std::int64_t inside(const Span& span, TimeWindow time) {
  return std::max<std::int64_t>(0, std::min(span.end_ns, time.end_ns) - std::max(span.begin_ns, time.begin_ns));
}

void add_lane(Flame& flame, const Timeline& timeline, const TimelineTrack& track, TimeWindow time) {
  std::map<std::int32_t, int> nodes;  // by op
  for (const Span& span : timeline.spans(track, time)) {
    const auto [known, is_new] = nodes.try_emplace(span.op, 0);
    const TimelineOp& op = timeline.op(track, span.op);
    if (is_new) {
      for (const std::string& name : module_path(op)) known->second = flame.child(known->second, name);
    }
    flame.add(known->second, op.work, inside(span, time));
  }
}

void add_nested_lane(Flame& flame, const Timeline& timeline, const TimelineTrack& track, TimeWindow time) {
  std::vector<Span> spans = timeline.spans(track, time);
  set_depths(spans);
  const int lane = flame.child(0, track.lane);
  std::vector<int> open;  // nodes of the callers
  for (const Span& span : spans) {
    open.resize(std::min(open.size(), static_cast<std::size_t>(span.depth)));
    const TimelineOp& op = timeline.op(track, span.op);
    const int node = flame.child(open.empty() ? lane : open.back(), op.name.empty() ? op.kind : op.name);
    if (open.empty()) {
      flame.add(node, op.work, inside(span, time));
    } else {
      flame.add_nested(node, op.work, inside(span, time));
    }
    open.push_back(node);
  }
}

}  // namespace

std::vector<FlameNode> area_flame(const Timeline& timeline, TimeWindow time, const RankSet& ranks,
                                  const std::function<bool()>& stopped) {
  const LockHold locks = timeline.hold();
  Flame flame;
  for (const TimelineTrack& track : timeline.tracks()) {
    if (!ranks.has(track.rank)) continue;
    if (stopped()) break;
    timeline.nesting(track) > 1 ? add_nested_lane(flame, timeline, track, time)
                                : add_lane(flame, timeline, track, time);
  }
  return flame.take();
}

std::string path_of(const std::vector<FlameNode>& flame, int node) {
  std::string path;
  for (int up = node; up >= 0; up = flame[static_cast<std::size_t>(up)].parent)
    path = flame[static_cast<std::size_t>(up)].name + (path.empty() ? "" : "; " + path);
  return path;
}

}  // namespace shardscope
