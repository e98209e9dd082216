#include "core/program/lower_inference.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "core/program/passes/draft.h"
#include "core/spec/job.h"

namespace shardscope {
namespace {

// The whole of lowering, in order: forward only, and parameters stay where the layers put them.
constexpr std::array kPasses{
    pass_stages,            // checks the model; groups and coordinates of this rank
    pass_inference_layers,  // parameters, cache, layers to ops
    pass_lifetimes,         // Alloc, Free and addresses; after everything that touches buffers
    pass_order,             // cross-lane dependencies, from addresses; so after lifetimes
};

Precision precision_of(WeightFormat weights) {
  if (weights == WeightFormat::kBF16) return Precision::kBf16;
  return weights == WeightFormat::kF16 ? Precision::kFp16 : Precision::kFp32;
}

/// The forward part of a training job of this shape: what stages and the layers' builders go by.
Job job_of(const InferenceSpec& spec, std::int64_t seq) {
  Job job;
  job.model = spec.model;
  job.parallel.tp = spec.tp;
  job.training.micro_batch = job.training.train_batch_size = spec.batch;
  job.training.accumulation = 1;
  job.training.precision.kind = precision_of(spec.weights);
  job.data.seq_len = seq;
  return job;
}

Program lower_phase(const InferenceSpec& spec, int rank, const InferencePhase& phase) {
  const Job job = job_of(spec, phase.seq);
  Draft draft;
  draft.job = &job;
  draft.rank = rank;
  draft.inference = &phase;
  for (const auto& pass : kPasses) pass(draft);
  return std::move(draft.program);
}

/// Persistent buffers come first, and are the same.
void check_shared(const Program& a, const Program& b) {
  const std::size_t most = std::max(a.buffers.size(), b.buffers.size());
  for (std::size_t i = 0; i < most; ++i) {
    const bool in_a = i < a.buffers.size() && a.buffers[i].persistent;
    const bool in_b = i < b.buffers.size() && b.buffers[i].persistent;
    SS_CHECK(in_a == in_b, i);
    if (in_a) SS_CHECK(a.buffers[i] == b.buffers[i], a.buffers[i].name, b.buffers[i].name);
  }
}

}  // namespace

InferencePrograms lower_inference(const InferenceSpec& spec, int rank, std::int64_t context) {
  check_inference(spec);
  if (context == 0) context = spec.prompt + spec.new_tokens / 2;
  InferencePrograms programs;
  programs.prefill = lower_phase(spec, rank, {&spec, spec.prompt, true, spec.prompt});
  programs.decode = lower_phase(spec, rank, {&spec, 1, false, std::min(context, spec.capacity())});
  check_shared(programs.prefill, programs.decode);
  for (std::size_t s = 0; s < kSpaces; ++s) {
    auto &p = programs.prefill.arena_bytes[s], &d = programs.decode.arena_bytes[s];
    p = d = std::max(p, d);
  }
  return programs;
}

MemoryPeak compute_memory_peak(const InferencePrograms& programs) {
  return larger_of(compute_memory_peak(programs.prefill), compute_memory_peak(programs.decode));
}

MemoryPeak larger_of(const MemoryPeak& a, const MemoryPeak& b) {
  MemoryPeak result = a;
  for (std::size_t s = 0; s < kSpaces; ++s) {
    if (b.peak_bytes[s] > a.peak_bytes[s]) {
      result.peak_bytes[s] = b.peak_bytes[s];
      result.at_peak.bytes[s] = b.at_peak.bytes[s];
      result.at[s] = b.at[s];
    }
    for (std::size_t c = 0; c < kCategories; ++c) {
      auto& own = result.peak_by_category.bytes[s][c];
      own = std::max(own, b.peak_by_category.bytes[s][c]);
    }
  }
  return result;
}

}  // namespace shardscope
