#include "simulator/fold/stretch.h"

#include <algorithm>

namespace shardscope {

namespace {

constexpr int kRepeats = 3;  // of a period, before more are put in
using Kind = SegmentLabel::Kind;

// Where more periods go in: before step `at`, each `length` steps and `micro_batches` micro-batches long.
struct Joint {
  std::size_t at = 0, length = 0;
  int micro_batches = 0;
  std::size_t repeats_from() const { return at - kRepeats * length; }
};

bool is_shifted(const ScriptStep& a, const ScriptStep& b, int by) {
  return a.actions == b.actions && a.label.kind == b.label.kind && a.label.micro_batch + by == b.label.micro_batch;
}

// The shortest period that schedule and segments have had before step `at`.
std::optional<Joint> find_period(const Script& script, const std::vector<int>& segments, std::size_t at) {
  for (std::size_t length = 1; (kRepeats + 1) * length < at; ++length) {
    const int by = script[at - 1].label.micro_batch - script[at - 1 - length].label.micro_batch;
    bool repeats = by > 0;
    for (std::size_t i = at - kRepeats * length; repeats && i < at; ++i) {
      repeats = is_shifted(script[i - length], script[i], by) && segments[i - length] == segments[i];
    }
    if (repeats) return Joint{at, length, by};
  }
  return std::nullopt;
}

// The step that starts the last micro-batch: what comes before it goes on as long as there are more of them.
std::size_t find_place(const Script& script, int micro_batches) {
  const SegmentLabel last{Kind::kForward, micro_batches - 1};
  const auto step = std::find_if(script.begin(), script.end(), [&](const ScriptStep& s) { return s.label == last; });
  return static_cast<std::size_t>(step - script.begin());
}

// Whether nothing behind a joint waits for what lies before the repeats: then how far back it lies stays true when more
// of them go in.
bool reaches_back_little(const Joint& joint, const std::vector<int>& segments, const SegmentStore& store) {
  for (std::size_t i = joint.at; i < segments.size(); ++i) {
    if (joint.repeats_from() + static_cast<std::size_t>(store[segments[i]].farthest) > i) return false;
  }
  return true;
}

// Whether all waits behind a joint would be the same with more periods before them.
bool waits_alike(const Joint& joint, const SplitProgram& split, const SegmentStore& store) {
  const auto behind = split.by_chance.begin() + static_cast<std::ptrdiff_t>(joint.at);
  return std::find(behind, split.by_chance.end(), 1) == split.by_chance.end() &&
         reaches_back_little(joint, split.segments, store);
}

int micro_batches_of(const Script& script) {
  int last = 0;
  for (const ScriptStep& step : script) last = std::max(last, step.label.micro_batch);
  return last + 1;
}

bool is_split_by(const SplitProgram& split, const Script& script) {
  return std::equal(split.labels.begin(), split.labels.end(), script.begin(), script.end(),
                    [](const SegmentLabel& label, const ScriptStep& step) { return label == step.label; });
}

}  // namespace

Script make_script(PipelineShape shape, int rank, int micro_batches) {
  shape.micro_batches = micro_batches;
  Script script{{{Kind::kForward, -1}, 1}};
  for (const Action& action : make_schedule(shape, rank)) {
    const Kind kind = action.kind == ActionKind::kForward ? Kind::kForward : Kind::kBackward;
    const SegmentLabel label{kind, action.micro_batch};
    if (!(script.back().label == label)) script.push_back({label, 0});
    auto& actions = script.back().actions;
    actions =
        actions * 257 + static_cast<std::uint32_t>(action.chunk * 4) + static_cast<std::uint32_t>(action.kind) + 2;
  }
  script.push_back({{Kind::kOptimizer, -1}, 1});
  return script;
}

// Beyond those that fill the pipeline, enough to come to rest and repeat. In gpipe, what a rank has sent stays until
// its first or last backward: segments as large as the schedule is long.
int fewer_micro_batches(const PipelineShape& shape, int rank, int try_number) {
  if (shape.schedule == PipelineSchedule::kGpipe) return 0;
  const int steady = 8 << (2 * try_number);
  int few = 3 * shape.ranks + steady;
  if (shape.schedule == PipelineSchedule::k1F1B) few = shape.ranks - rank + steady;
  if (shape.schedule == PipelineSchedule::kInterleaved) {  // goes in rounds of all ranks, one period each
    few = (few + (kRepeats + 1) * shape.ranks) / shape.ranks * shape.ranks;
  }
  return few * 3 < shape.micro_batches * 2 ? few : 0;
}

std::optional<std::vector<int>> stretch(const Script& few, const SplitProgram& split, const Script& all,
                                        const SegmentStore& store) {
  if (!is_split_by(split, few)) return std::nullopt;
  const int micro_batches = micro_batches_of(few), missing = micro_batches_of(all) - micro_batches;
  const std::optional<Joint> joint = find_period(few, split.segments, find_place(few, micro_batches));
  if (!joint || missing % joint->micro_batches != 0 || !waits_alike(*joint, split, store)) {
    return std::nullopt;
  }
  const auto at = split.segments.begin() + static_cast<std::ptrdiff_t>(joint->at);
  std::vector<int> segments(split.segments.begin(), at);
  for (int n = missing / joint->micro_batches; n > 0; --n) {
    segments.insert(segments.end(), at - static_cast<std::ptrdiff_t>(joint->length), at);
  }
  segments.insert(segments.end(), at, split.segments.end());
  return segments.size() == all.size() ? std::optional(std::move(segments)) : std::nullopt;
}

}  // namespace shardscope
