#include "simulator/validate/conventions.h"

#include "core/spec/model_spec.h"
#include "simulator/validate/row_text.h"

namespace shardscope {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

double embedding_parameters(const ModelSpec& model) {
  double count = model.tied_embeddings ? 0 : static_cast<double>(model.vocab_size * model.hidden);
  if (model.positions == PositionKind::kLearned) count += static_cast<double>(model.max_positions * model.hidden);
  return count;
}

/// The part of the notes about the memory figure: from "mem" to the end of the clause.
std::string_view memory_clause(std::string_view notes) {
  for (const std::string_view start : {"memory =", "mem =", "memory:", "mem:"}) {
    const auto at = notes.find(start);
    if (at != std::string_view::npos) return notes.substr(at, notes.find_first_of(",;", at) - at);
  }
  return {};
}

}  // namespace

FlopsConvention convention_of(const PublishedRun& run) {
  FlopsConvention convention;
  const bool megatron = holds_word(run.framework, "megatron") && !holds_word(run.framework, "deepspeed");
  convention.input_embedding = !megatron || holds_word(run.notes, "6N");
  convention.causal_halved = holds_word(run.framework, "megatron-bridge");
  if (holds_word(run.notes, "counts full recompute")) {
    convention.recompute_counted = true;
    convention.input_embedding = false;
  }
  return convention;
}

double flops_per_token(const ModelSpec& model, std::int64_t seq, FlopsConvention convention) {
  const double all = static_cast<double>(active_parameter_count(model)), inputs = embedding_parameters(model);
  const double head = static_cast<double>(model.vocab_size * model.hidden);
  const double blocks = all - inputs - head;
  const double per_head = model.kv_lora_rank > 0 ? static_cast<double>(model.head_dim + model.v_head_dim)
                                                 : 2.0 * static_cast<double>(model.head_dim);
  double attention = 6.0 * static_cast<double>(model.layers * model.heads) * per_head * static_cast<double>(seq);
  if (convention.causal_halved) attention /= 2;
  const double passes = convention.recompute_counted ? 4.0 / 3 : 1;
  return passes * (6 * blocks + attention) + 6 * head + (convention.input_embedding ? 6 * inputs : 0);
}

std::optional<double> published_step_time(const PublishedRun& run, const Workload& workload, const GpuSpec& gpu,
                                          const Plan& plan) {
  if (run.step_time_s) return run.step_time_s;
  const double tokens = static_cast<double>(plan.global_batch * workload.seq) / plan.gpus;  // of one GPU
  if (run.tokens_per_s_per_gpu) return tokens / *run.tokens_per_s_per_gpu;
  double flops_per_s = run.tflops_per_gpu.value_or(0) * 1e12;
  if (run.mfu_pct && flops_per_s == 0) {
    flops_per_s = *run.mfu_pct / 100 * gpu.peak[static_cast<std::size_t>(workload.arithmetic)].value;
  }
  if (flops_per_s <= 0) return std::nullopt;
  return tokens * flops_per_token(workload.model, workload.seq, convention_of(run)) / flops_per_s;
}

std::string_view to_string(MemoryKind kind) {
  constexpr std::string_view kNames[] = {"allocated", "reserved", "used"};
  return kNames[static_cast<std::size_t>(kind)];
}

MemoryKind memory_kind_of(const PublishedRun& run) {
  const std::string_view clause = memory_clause(run.notes);
  if (holds_word(clause, "allocated")) return MemoryKind::kAllocated;
  if (holds_word(clause, "reserved")) return MemoryKind::kReserved;
  if (holds_word(clause, "nvidia-smi") || holds_word(clause, "used")) return MemoryKind::kUsed;
  return MemoryKind::kReserved;  // between the others, and what logs of nanotron and others report
}

double predicted_gib(const Estimate& estimate, MemoryKind kind) {
  switch (kind) {
    case MemoryKind::kReserved:
      return estimate.reserved / kGiB;
    case MemoryKind::kUsed:
      return estimate.used / kGiB;
    case MemoryKind::kAllocated:
      break;
  }
  return estimate.allocated / kGiB;
}

}  // namespace shardscope
