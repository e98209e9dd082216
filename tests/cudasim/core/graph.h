#pragma once
// A graph that can be launched: its nodes run concurrently as far as their dependencies let them, drawn at random as
// the operations of streams are.
//
//   const auto exec = std::make_shared<GraphExec>(graph, device);
//   launch(*exec, stream);

#include <memory>
#include <vector>

#include "tests/cudasim/core/capture.h"
#include "tests/cudasim/core/machine.h"

namespace cudasim {

/// What runs in a stream is in order, so nodes are put on paths, each node after one that it depends on: the first path
/// runs in the stream where the graph is launched, the others in streams of the graph's own.
struct GraphExec {
  GraphExec(const Graph& graph, int device);
  ~GraphExec();
  GraphExec(const GraphExec&) = delete;
  GraphExec& operator=(const GraphExec&) = delete;

  int device;
  u32 id;
  std::vector<GraphNode> nodes;
  std::vector<u64> ids;    ///< of the nodes
  std::vector<u32> paths;  ///< of the nodes
  std::vector<Stream*> branches;
  OperationPtr last;  ///< of its launch before: they come one after the other
};

void launch(GraphExec& exec, Stream* stream);

}  // namespace cudasim
