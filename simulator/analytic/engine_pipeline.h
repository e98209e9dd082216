#pragma once
// A step of our own engine under 1F1B through stages that differ, action by action: the order of the schedule, of
// messages and of memory, as the event level has them (tests/two_levels_test.cpp).
//
//   PipelineWalk walk;                                  // keeps its memory
//   walk.clear();
//   walk.add({.forward = f, .backward = b, .early = again}, 1);   // stage by stage, or some that are alike
//   double seconds = walk.length(micro_batches, {.send = s});
//
// A stage begins an action when the one before is done and its input has arrived. What arrives needs memory, which that
// action gives back: only then does it leave the other stage. Backward begins with what it computes again of its last
// block, which needs no gradient yet.

#include <cstddef>
#include <vector>

namespace shardscope {

/// Seconds of one micro-batch.
struct WalkedStage {
  double forward = 0, backward = 0;
  double early = 0;   ///< part of backward that does not wait for the next stage
  double weight = 0;  ///< part of backward that zero-bubble schedules may put off
  double tail = 0;    ///< of the last micro-batch's backward: reductions that it waits for
  double after = 0;   ///< behind the last backward: what is still being reduced
};

struct Messages {
  double send = 0;              ///< seconds of one
  bool gradients_wait = false;  ///< for memory too, not only activations: where blocks give back buffers like them
};

class PipelineWalk {
 public:
  void clear() { stages_.clear(); }
  void add(const WalkedStage& stage, double count);
  /// Seconds from the first forward to the last backward. Of long schedules only three pipelines' worth is walked: they
  /// go on as they did. Of pipelines of more than 8 stages a formula, within a few percent.
  double length(double micro_batches, const Messages& messages);

 private:
  double formula(double micro_batches, const Messages& messages) const;
  void act(std::size_t stage, bool forward, const Messages& messages);
  void walk(std::size_t micro_batches, const Messages& messages);

  struct Turn {
    std::size_t forwards = 0, backwards = 0;
    double end = 0, before = 0;  ///< of the last action, and of the one before
  };
  std::vector<WalkedStage> stages_;
  std::vector<Turn> turns_;
  std::vector<double> forward_ends_, backward_ends_;  ///< by stage and micro-batch
  std::size_t micro_batches_ = 0;
};

}  // namespace shardscope
