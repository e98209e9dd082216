// Schedules run on unit times: every dependency is met, nothing hangs, and what is in flight and the bubble are what
// the papers say. F = I = W = 1 per chunk unless said otherwise, B = I + W.
#include "core/program/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "core/error.h"

namespace shardscope {
namespace {

struct Timing {
  int makespan = 0, busy = 0;  ///< busy of rank 0
  int most_in_flight = 0;      ///< chunk activations alive on any rank: from forward to the end of its weight half
  bool finished = false;
};

constexpr int kForwardTime = 1, kHalfTime = 1;

int duration(ActionKind kind) {
  if (kind == ActionKind::kForward) return kForwardTime;
  return kind == ActionKind::kBackward ? 2 * kHalfTime : kHalfTime;
}

/// Runs all ranks in their order, each action as soon as what it needs is there; messages take no time.
class Runner {
 public:
  explicit Runner(const PipelineShape& shape) : s_(shape) {
    for (int r = 0; r < s_.ranks; ++r) lists_.push_back(make_schedule(s_, r));
  }

  Timing run() {
    std::vector<std::size_t> next(lists_.size(), 0);
    std::vector<int> free(lists_.size(), 0), busy(lists_.size(), 0), flight(lists_.size(), 0);
    Timing t;
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t r = 0; r < lists_.size(); ++r) {
        while (next[r] < lists_[r].size()) {
          const Action& a = lists_[r][next[r]];
          const int ready = ready_at(static_cast<int>(r), a);
          if (ready < 0) break;
          free[r] = std::max(free[r], ready) + duration(a.kind);
          busy[r] += duration(a.kind);
          done_[key(static_cast<int>(r), a)] = free[r];
          if (a.kind == ActionKind::kForward) t.most_in_flight = std::max(t.most_in_flight, ++flight[r]);
          if (a.kind == ActionKind::kBackward || a.kind == ActionKind::kWeight) --flight[r];
          ++next[r];
          moved = true;
        }
      }
    }
    t.finished = true;
    for (std::size_t r = 0; r < lists_.size(); ++r) t.finished = t.finished && next[r] == lists_[r].size();
    t.makespan = *std::max_element(free.begin(), free.end());
    t.busy = busy[0];
    return t;
  }

  const std::vector<std::vector<Action>>& lists() const { return lists_; }

 private:
  using Key = std::tuple<int, int, int>;  // stage, micro-batch, 0 forward / 1 input gradient / 2 weight gradient
  Key key(int rank, const Action& a) const {
    const int what = a.kind == ActionKind::kForward ? 0 : (a.kind == ActionKind::kWeight ? 2 : 1);
    return {stage_at(s_, rank, a.chunk), a.micro_batch, what};
  }
  int time_of(const Key& k) const {
    const auto it = done_.find(k);
    return it == done_.end() ? -1 : it->second;
  }
  /// When the action's inputs are there, or -1.
  int ready_at(int rank, const Action& a) const {
    const int stage = stage_at(s_, rank, a.chunk), mb = a.micro_batch;
    if (a.kind == ActionKind::kForward) return stage == 0 ? 0 : time_of({stage - 1, mb, 0});
    if (a.kind == ActionKind::kWeight) return time_of({stage, mb, 1});
    const int own = time_of({stage, mb, 0});
    const int next = stage == s_.stages() - 1 ? 0 : time_of({stage + 1, mb, 1});
    return own < 0 || next < 0 ? -1 : std::max(own, next);
  }

  const PipelineShape s_;
  std::vector<std::vector<Action>> lists_;
  std::map<Key, int> done_;
};

const PipelineSchedule kAll[] = {PipelineSchedule::kGpipe, PipelineSchedule::k1F1B, PipelineSchedule::kInterleaved,
                                 PipelineSchedule::kZbH1,  PipelineSchedule::kZbv,  PipelineSchedule::kDualPipeV};

PipelineShape shape_of(PipelineSchedule schedule, int p, int v, int m) {
  return {schedule, p, chunks_of(schedule, v), m};
}

TEST(Schedule, EveryMicroBatchOnceAndNothingHangs) {
  for (PipelineSchedule schedule : kAll) {
    for (int p = 1; p <= 6; ++p) {
      for (int v = 1; v <= 3; ++v) {
        for (int m : {2 * p, 3 * p, 4 * p}) {
          const PipelineShape shape = shape_of(schedule, p, v, m);
          Runner runner(shape);
          EXPECT_TRUE(runner.run().finished) << to_string(schedule) << " p=" << p << " m=" << m;
          for (const auto& list : runner.lists()) {
            std::map<std::tuple<int, int, ActionKind>, int> count;
            for (const Action& a : list) ++count[{a.chunk, a.micro_batch, a.kind}];
            for (int c = 0; c < shape.chunks; ++c) {
              for (int mb = 0; mb < m; ++mb) {
                const auto n = [&](ActionKind kind) { return count[{c, mb, kind}]; };
                EXPECT_EQ(n(ActionKind::kForward), 1);
                EXPECT_EQ(n(ActionKind::kBackward) + n(ActionKind::kInput), 1);
                EXPECT_EQ(n(ActionKind::kInput), n(ActionKind::kWeight));
              }
            }
          }
        }
      }
    }
  }
}

TEST(Schedule, StagesAndOwnersAreInverse) {
  for (PipelineSchedule schedule : kAll) {
    const PipelineShape shape = shape_of(schedule, 4, 3, 12);
    std::set<int> seen;
    for (int r = 0; r < shape.ranks; ++r) {
      for (int c = 0; c < shape.chunks; ++c) {
        const int stage = stage_at(shape, r, c);
        seen.insert(stage);
        EXPECT_EQ(owner_of(shape, stage).rank, r);
        EXPECT_EQ(owner_of(shape, stage).chunk, c);
      }
    }
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(shape.stages()));
  }
}

int bubble(const Timing& t) { return t.makespan - t.busy; }

TEST(Schedule, BubbleAndInFlightAsPublished) {
  for (int p : {2, 3, 4, 8}) {
    const int m = 4 * p;
    const auto run = [&](PipelineSchedule s, int v = 1) { return Runner(shape_of(s, p, v, m)).run(); };
    EXPECT_EQ(bubble(run(PipelineSchedule::kGpipe)), (p - 1) * 3);  // (p-1)(F+B), B = 2
    EXPECT_EQ(run(PipelineSchedule::kGpipe).most_in_flight, m);
    EXPECT_EQ(bubble(run(PipelineSchedule::k1F1B)), (p - 1) * 3);
    EXPECT_EQ(run(PipelineSchedule::k1F1B).most_in_flight, p);
    EXPECT_EQ(bubble(run(PipelineSchedule::kInterleaved, 2)), (p - 1) * 3);  // of chunks half as long: (p-1)(F+B)/2
    EXPECT_EQ(bubble(run(PipelineSchedule::kZbH1)), p - 1);                  // (p-1)(F+I-W): a third of 1F1B
    EXPECT_EQ(run(PipelineSchedule::kZbH1).most_in_flight, p);
    EXPECT_EQ(run(PipelineSchedule::kZbv).most_in_flight, 2 * p);  // chunks half as large: p
    EXPECT_LE(run(PipelineSchedule::kDualPipeV).most_in_flight, 2 * (p + 1));
  }
}

TEST(Schedule, RefusesTooFewMicroBatches) {
  EXPECT_THROW(make_schedule(shape_of(PipelineSchedule::kInterleaved, 4, 2, 6), 0), Error);
  EXPECT_THROW(make_schedule(shape_of(PipelineSchedule::kDualPipeV, 4, 1, 7), 0), Error);
  EXPECT_THROW(make_schedule(shape_of(PipelineSchedule::kZbv, 4, 1, 7), 0), Error);
}

/// Nothing is lost between first and last op of a rank; what remains is that rank 0 waits at the end for p - 1 chunks
/// (half a stage each), which only a step that starts before the last rank is done could hide.
TEST(Schedule, VShapedOnesLoseOnlyTheFill) {
  for (int p : {2, 4, 8}) {
    EXPECT_EQ(bubble(Runner(shape_of(PipelineSchedule::kZbv, p, 1, 4 * p)).run()), p - 1);
    EXPECT_EQ(bubble(Runner(shape_of(PipelineSchedule::kDualPipeV, p, 1, 4 * p)).run()), p - 1);
  }
}

}  // namespace
}  // namespace shardscope
