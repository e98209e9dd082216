#pragma once
// How a step was launched, in `train` and `generate`: as a line and as JSON.
//
//   fmt::print("{}", launches_text(result.ranks.front().launches));

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/engine/backend.h"

namespace shardscope::cli {

/// Empty where nothing was in a graph.
inline std::string launches_text(const LaunchCounts& l) {
  if (l.graphs == 0) return "";
  return fmt::format("graphs      {} of {} ops of a step are launched in {} CUDA graph{}\n", l.in_graphs, l.ops,
                     l.graphs, l.graphs == 1 ? "" : "s");
}

/// {"ops", "in_graphs", "graphs"}: of a step of one rank; ops that are not communication, drives or batches.
inline nlohmann::ordered_json launches_json(const LaunchCounts& l) {
  return {{"ops", l.ops}, {"in_graphs", l.in_graphs}, {"graphs", l.graphs}};
}

}  // namespace shardscope::cli
