#include "tests/cudasim/core/graph.h"

#include <algorithm>

namespace cudasim {

namespace {

std::atomic<u32> graph_count = 0;
std::atomic<u64> node_count = 0;

/// Path by path; returns how many there are.
u32 choose_paths(const std::vector<GraphNode>& nodes, std::vector<u32>& paths) {
  std::vector<u32> ends;  // of each path, its last node
  for (u32 node = 0; node < nodes.size(); ++node) {
    const std::vector<u32>& after = nodes[node].after;
    const auto follows = std::find_if(
        ends.begin(), ends.end(), [&](u32 end) { return std::find(after.begin(), after.end(), end) != after.end(); });
    paths.push_back(static_cast<u32>(follows - ends.begin()));
    if (follows == ends.end()) {
      ends.push_back(node);
    } else {
      *follows = node;
    }
  }
  return static_cast<u32>(ends.size());
}

}  // namespace

GraphExec::GraphExec(const Graph& graph, int its_device) : device(its_device), id(++graph_count), nodes(graph.nodes) {
  for (size_t i = 0; i < nodes.size(); ++i) ids.push_back(++node_count);
  const u32 count = choose_paths(nodes, paths);
  for (u32 path = 1; path < count; ++path) branches.push_back(machine().create_stream(device, false, 0));
}

GraphExec::~GraphExec() {
  for (Stream* branch : branches) machine().destroy_stream(branch);
}

void launch(GraphExec& exec, Stream* stream) {
  Machine& m = machine();
  const OperationPtr begun = m.enqueue(stream, OperationKind::kEvent, "graph", nullptr, {}, {exec.last});
  std::vector<OperationPtr> made, ends{begun};
  for (size_t i = 0; i < exec.nodes.size(); ++i) {
    const Operation& what = *exec.nodes[i].what;
    std::vector<OperationPtr> after{begun};
    for (const u32 earlier : exec.nodes[i].after) after.push_back(made[earlier]);
    Stream* const on = exec.paths[i] == 0 ? stream : exec.branches[exec.paths[i] - 1];
    const auto describe = [&](Operation& op) {
      op.kernel = what.kernel;
      op.copy = what.copy;
      op.graph = exec.id;
      op.graph_node = exec.ids[i];
    };
    made.push_back(m.enqueue(on, what.kind, what.name, what.run, describe, after));
    std::erase_if(ends,
                  [&](const OperationPtr& one) { return std::find(after.begin(), after.end(), one) != after.end(); });
    ends.push_back(made.back());
  }
  exec.last = m.enqueue(
      stream, OperationKind::kGraph, "end of a graph", nullptr,
      [&](Operation& op) {
        op.graph = exec.id;
        op.begun = begun;
      },
      ends);
}

}  // namespace cudasim
