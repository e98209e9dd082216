#pragma once
// The mixture of experts of a block: a router sends each row to some of the experts, whose answers come back weighted
// (docs/moe.md). With expert parallelism rows go to the ranks that have the experts: one exchange per local expert, so
// that an expert works while the next one's rows are on their way.
//
//   ExpertsState state = experts.forward("model.layers.0.block_sparse_moe", "h.0.", x, out);
//   experts.backward(state, "h.0.d_", x, d_out, d_x);

#include <string>
#include <vector>

#include "core/program/passes/gated_mlp.h"

namespace shardscope {

/// What the experts keep for their backward, beside the rows that came in.
struct ExpertsState {
  std::string module;
  Linear router;
  Route route;
  Region answers;              ///< [S,H] of all experts, in the slots of this rank's rows
  std::vector<Region> inputs;  ///< by local expert: the rows that all ranks sent it
  std::vector<GatedMlpState> mlps;
};

class ExpertsBuilder {
 public:
  explicit ExpertsBuilder(LayerBuilder& builder);

  /// x and out [R,H]. Under tensor parallelism `out` is one rank's summand of the output, and so is what backward()
  /// leaves in d_x.
  ExpertsState forward(const std::string& module, const std::string& at, Region x, Region out);
  /// Overwrites d_x. `x` is what forward() got.
  void backward(const ExpertsState& state, const std::string& at, Region x, Region d_out, Region d_x);

 private:
  void choose(ExpertsState& s, const std::string& at, Region x);
  void backward_choice(const ExpertsState& s, const std::string& at, Region x, Region d_weights, Region d_x);
  /// Local expert e's part of a buffer of all slots, from and to every rank.
  Region share(Region slots, std::size_t e) const;
  /// By local expert: what all ranks have in their slots of it.
  std::vector<Region> send(const std::string& module, const std::string& name, Region slots);
  /// Where an expert writes what goes back to `share`, and its way there.
  Region reply(const std::string& name, Region share);
  void send_back(const std::string& module, Region reply, Region share);
  std::string name_of(const std::string& at, std::size_t e) const;
  double balance_scale() const;

  LayerBuilder& b_;
  GatedMlpBuilder mlp_;
  const ModelSpec& m_;
  ExpertPart part_;
};

}  // namespace shardscope
