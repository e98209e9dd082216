#include "core/program/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

/// Appends actions, each kind and chunk taking its micro-batches in order.
class Writer {
 public:
  std::vector<Action> actions;
  void forward(int chunk = 0) { add(ActionKind::kForward, chunk, forwards_[at(chunk)]++); }
  void backward(int chunk = 0) { add(ActionKind::kBackward, chunk, backwards_[at(chunk)]++); }
  void input(int chunk = 0) {
    pending_.push_back({ActionKind::kWeight, chunk, backwards_[at(chunk)]});
    add(ActionKind::kInput, chunk, backwards_[at(chunk)]++);
  }
  /// The oldest weight half that is still owed, if any; of one chunk only, if asked.
  void weight(int chunk = -1) {
    const auto it =
        std::find_if(pending_.begin(), pending_.end(), [&](const Action& a) { return chunk < 0 || a.chunk == chunk; });
    if (it == pending_.end()) return;
    actions.push_back(*it);
    pending_.erase(it);
  }
  void drain() {
    while (!pending_.empty()) weight();
  }
  int forwards(int chunk) const { return forwards_[at(chunk)]; }
  int backwards(int chunk) const { return backwards_[at(chunk)]; }
  void add(ActionKind kind, int chunk, int micro_batch) { actions.push_back({kind, chunk, micro_batch}); }

 private:
  static std::size_t at(int chunk) { return static_cast<std::size_t>(chunk); }
  std::array<int, 2> forwards_{}, backwards_{};
  std::deque<Action> pending_;
};

std::vector<Action> gpipe(int m) {
  Writer w;
  for (int i = 0; i < m; ++i) w.forward();
  for (int i = 0; i < m; ++i) w.backward();
  return w.actions;
}

std::vector<Action> one_forward_one_backward(int p, int r, int m) {
  Writer w;
  const int warmup = std::min(p - r - 1, m);
  for (int i = 0; i < warmup; ++i) w.forward();
  for (int i = warmup; i < m; ++i) w.forward(), w.backward();
  for (int i = 0; i < warmup; ++i) w.backward();
  return w.actions;
}

std::vector<Action> interleaved(int p, int r, int v, int m) {
  Writer w;
  const int total = m * v, warmup = std::min(total, 2 * (p - r - 1) + (v - 1) * p);
  const auto step = [&](int k, bool is_forward) {  // k-th unit: all chunks of p micro-batches in turn
    const int within = k % (p * v), chunk = within / p, micro_batch = k / (p * v) * p + within % p;
    w.add(is_forward ? ActionKind::kForward : ActionKind::kBackward, is_forward ? chunk : v - 1 - chunk, micro_batch);
  };
  for (int k = 0; k < warmup; ++k) step(k, true);
  for (int k = warmup; k < total; ++k) step(k, true), step(k - warmup, false);
  for (int k = total - warmup; k < total; ++k) step(k, false);
  return w.actions;
}

std::vector<Action> zero_bubble_h1(int p, int r, int m) {
  Writer w;
  const int warmup = std::min(p - r - 1, m);
  for (int i = 0; i < warmup; ++i) w.forward();
  for (int i = 0; i < m - warmup; ++i) {
    w.forward(), w.input();
    if (i >= r) w.weight();  // rank r may owe r weight halves, so that all ranks hold p micro-batches
  }
  for (int i = 0; i < warmup; ++i) w.input(), w.weight();
  w.drain();
  return w.actions;
}

std::vector<Action> zero_bubble_v(int p, int r, int m) {
  Writer w;
  for (int i = 0; i < 2 * (p - r) - 1; ++i) w.forward(0);
  for (int i = 0; i < r; ++i) w.forward(1), w.forward(0);
  for (int i = 0; i < p - r; ++i) w.forward(1), w.input(1), w.weight(1);
  while (w.forwards(1) < w.forwards(0) || w.forwards(0) < m) {
    if (w.forwards(0) < m) w.forward(0);
    w.input(0), w.weight(0);
    w.forward(1), w.input(1), w.weight(1);
  }
  for (int i = 0; i < r; ++i) w.input(0), w.input(1);
  for (int i = 0; i < p - r; ++i) w.input(0), w.weight(0);
  w.drain();
  return w.actions;
}

std::vector<Action> dual_pipe_v(int p, int r, int m) {
  Writer w;
  const int left = p - r - 1;
  for (int i = 0; i < 2 * left; ++i) w.forward(0);
  for (int i = 0; i < r + 1; ++i) w.forward(0), w.forward(1);
  for (int i = 0; i < left; ++i) w.input(1), w.weight(), w.forward(1);
  for (int i = 0; i < m - 2 * p + r + 1; ++i) w.forward(0), w.backward(1), w.forward(1), w.backward(0);
  for (int i = 0; i < left; ++i) w.backward(1), w.forward(1), w.backward(0);
  for (int i = 0; i < 2 * (r + 1); ++i) {  // the second half of these leaves its weights for the idle time to come
    const int chunk = i % 2 == 0 ? 1 : 0;
    i < r + 1 ? w.backward(chunk) : w.input(chunk);
  }
  for (int i = 0; i < left; ++i) w.weight(), w.input(0);
  w.drain();
  return w.actions;
}

void check_shape(const PipelineShape& s) {
  SS_CHECK(s.ranks >= 1 && s.chunks >= 1 && s.micro_batches >= 1, s.ranks, s.chunks, s.micro_batches);
  if (s.schedule == PipelineSchedule::kInterleaved && s.micro_batches % s.ranks != 0) {
    throw Error(ErrorKind::kConfig,
                fmt::format("parallel.schedule: interleaved needs micro-batches in groups of the pipeline's {} ranks; "
                            "gradient_accumulation_steps is {}, use a multiple of {}",
                            s.ranks, s.micro_batches, s.ranks));
  }
  if (is_v_shaped(s.schedule) && s.micro_batches < 2 * s.ranks) {
    throw Error(ErrorKind::kConfig,
                fmt::format("parallel.schedule: {} needs at least {} micro-batches on {} pipeline ranks; "
                            "gradient_accumulation_steps is {}",
                            to_string(s.schedule), 2 * s.ranks, s.ranks, s.micro_batches));
  }
}

}  // namespace

bool is_v_shaped(PipelineSchedule s) { return s == PipelineSchedule::kZbv || s == PipelineSchedule::kDualPipeV; }

int chunks_of(PipelineSchedule schedule, int virtual_stages) {
  if (is_v_shaped(schedule)) return 2;
  return schedule == PipelineSchedule::kInterleaved ? virtual_stages : 1;
}

PipelineShape pipeline_shape(const Job& job) {
  const ParallelSpec& p = job.parallel;
  const PipelineSchedule schedule = p.pp > 1 ? p.schedule : PipelineSchedule::k1F1B;
  return {schedule, p.pp, chunks_of(schedule, p.virtual_stages), static_cast<int>(job.training.accumulation)};
}

int stage_at(const PipelineShape& shape, int rank, int chunk) {
  if (is_v_shaped(shape.schedule)) return chunk == 0 ? rank : 2 * shape.ranks - 1 - rank;
  return chunk * shape.ranks + rank;
}

StageOwner owner_of(const PipelineShape& shape, int stage) {
  if (is_v_shaped(shape.schedule)) {
    return stage < shape.ranks ? StageOwner{stage, 0} : StageOwner{2 * shape.ranks - 1 - stage, 1};
  }
  return {stage % shape.ranks, stage / shape.ranks};
}

std::vector<Action> make_schedule(const PipelineShape& shape, int rank) {
  check_shape(shape);
  const int p = shape.ranks, m = shape.micro_batches;
  switch (shape.schedule) {
    case PipelineSchedule::kGpipe:
      return gpipe(m);
    case PipelineSchedule::k1F1B:
      return one_forward_one_backward(p, rank, m);
    case PipelineSchedule::kInterleaved:
      return interleaved(p, rank, shape.chunks, m);
    case PipelineSchedule::kZbH1:
      return zero_bubble_h1(p, rank, m);
    case PipelineSchedule::kZbv:
      return zero_bubble_v(p, rank, m);
    case PipelineSchedule::kDualPipeV:
      return dual_pipe_v(p, rank, m);
  }
  SS_CHECK(false, static_cast<int>(shape.schedule));
  return {};
}

}  // namespace shardscope
