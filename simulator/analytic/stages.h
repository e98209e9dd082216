#pragma once
// Which blocks the ranks of a pipeline have, as far as time and memory go by it.
//
//   StageMaker stages(model, framework, seq);
//   for (const StageKind& kind : stages.of(plan)) ... kind.stage.dense, kind.count
//
// Our own engine's stages are those of core/program/partition.h, nanotron's by its rule. Other frameworks': as even as
// it goes, the first ones have one more.

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "simulator/analytic/block_costs.h"

namespace shardscope {

/// One rank's part of the pipeline.
struct Stage {
  double dense = 0, mixture = 0;                 ///< blocks
  bool first = false, last = false;              ///< has the embedding, the head
  bool loss_is_next = false, only_loss = false;  ///< the head's loss is the next rank's work; this one's only work
  double place = 0;                              ///< ranks before it in the pipeline
  double blocks() const { return dense + mixture; }
  friend bool operator==(const Stage&, const Stage&) = default;
};

struct StageKind {
  Stage stage;
  double count = 1;  ///< ranks of the pipeline that it stands for
};

class StageMaker {
 public:
  StageMaker(const ModelSpec& model, const FrameworkSpec& framework, std::int64_t seq);

  /// The first stage is the first kind; valid until the next call.
  const std::vector<StageKind>& of(const Plan&);

  /// Whether our own engine has stages for the plan: a block at least for each.
  bool has_stages(const Plan&) const;
  /// All stages of our own engine in the order of the model, several on each rank where it has chunks.
  const std::vector<Stage>& chunks(const Plan&);

 private:
  Stage blocks(double from, double to, double count) const;
  const std::vector<StageKind>& even(const Plan&);
  std::vector<StageKind> of_engine(const Plan&);
  std::vector<StageKind> by_parameters(const Plan&) const;
  std::vector<Stage> make_chunks(const Plan&) const;

  ModelSpec model_;
  bool engine_ = false, balanced_ = false;
  Partition partition_;
  std::int64_t seq_ = 0;
  std::vector<double> mixtures_;  ///< by block: how many before it are mixtures of experts
  std::unordered_map<int, std::vector<StageKind>> known_;
  std::unordered_map<int, std::vector<Stage>> chunks_;
  std::vector<StageKind> even_;  ///< kept for its memory
};

}  // namespace shardscope
