#include "simulator/validate/row_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "simulator/validate/row_model.h"
#include "simulator/validate/row_target.h"
#include "simulator/validate/row_text.h"

namespace shardscope {
namespace {

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorKind::kUnsupported, why); }

// ---- framework

/// Frameworks that the catalog does not know are read as the one that shards alike.
std::string likeness(const PublishedRun& run) {
  for (const std::string_view name : {"fsdp2", "fsdp", "megatron", "deepspeed", "nanotron", "jax"}) {
    if (holds_word(run.framework, name)) return std::string(name);
  }
  const bool split = run.tp.value_or(1) > 1 || run.pp.value_or(1) > 1;
  if (!split && run.zero_stage == 3) return "fsdp2";
  return split || !run.zero_stage ? "megatron" : "deepspeed";
}

FrameworkSpec framework_of(const PublishedRun& run, std::vector<std::string>& assumed) {
  const auto& all = default_frameworks();
  try {
    return find_framework(all, run.framework);
  } catch (const Error&) {
    const FrameworkSpec& like = find_framework(all, likeness(run));
    assumed.push_back(fmt::format("framework: {}, as the nearest to \"{}\"", like.name, run.framework));
    return like;
  }
}

/// What the row says of its run that differs from the framework's default.
void adapt(FrameworkSpec& framework, const PublishedRun& run, std::vector<std::string>& assumed) {
  if (run.flash_attention) {
    const bool plain = *run.flash_attention == 0;
    if (plain != (framework.attention == AttentionKernel::kPlain)) {
      framework.attention = plain ? AttentionKernel::kPlain : AttentionKernel::kFlash;
    }
    if (plain) framework.dropout = true;  // runs without flash attention are of a time that trained with dropout
  } else {
    assumed.push_back(fmt::format("flash_attention: {}", framework.attention == AttentionKernel::kPlain ? 0 : 1));
  }
  if (holds_word(run.dtype, "mixed_precision PURE")) framework.gather_bytes = 2, framework.reduce_bytes = 2;
  if (holds_word(run.dtype, "mixed_precision DEFAULT")) framework.gather_bytes = 2, framework.reduce_bytes = 4;
  if (holds_word(run.notes, "overlap features kept off")) {
    framework.overlaps_gradients = framework.overlaps_gathers = framework.overlaps_tensor = false;
  }
  if (holds_word(run.notes, "tp-comm-overlap on")) framework.overlaps_tensor = true;
  if (holds_word(run.notes, "fused CE")) framework.fused_loss = true;
  if (holds_word(run.notes, "ZeRO++")) framework.gather_bytes = 1;  // quantised weights; one node scatters as before
}

// ---- workload

Arithmetic arithmetic_of(const PublishedRun& run, const GpuSpec& gpu, std::vector<std::string>& assumed) {
  constexpr std::pair<std::string_view, Arithmetic> kNames[] = {
      {"fp4", Arithmetic::kFp4},       {"fp8", Arithmetic::kFp8},   {"bf16", Arithmetic::kBf16},
      {"bfloat16", Arithmetic::kBf16}, {"fp16", Arithmetic::kFp16}, {"half", Arithmetic::kFp16},
      {"tf32", Arithmetic::kTf32},     {"fp32", Arithmetic::kFp32}};
  for (const auto& [word, arithmetic] : kNames) {
    if (holds_word(run.dtype, word)) return arithmetic;
  }
  const bool has_bf16 = gpu.peak[static_cast<std::size_t>(Arithmetic::kBf16)].value > 0;
  Arithmetic guess = has_bf16 ? Arithmetic::kBf16 : Arithmetic::kFp16;
  if (holds_word(run.dtype, "quantization")) guess = Arithmetic::kFp8;
  assumed.push_back(fmt::format("dtype: {}", to_string(guess)));
  return guess;
}

Workload workload_of(const PublishedRun& run, const GpuSpec& gpu, std::vector<std::string>& assumed) {
  if (!run.seq_len) refuse("seq_len is blank");
  RowModel row = model_of(run);
  assumed.insert(assumed.end(), row.assumed.begin(), row.assumed.end());
  Workload workload;
  workload.model = std::move(row.model);
  workload.capacity_factor = row.capacity_factor;
  workload.seq = *run.seq_len;
  workload.arithmetic = arithmetic_of(run, gpu, assumed);
  return workload;
}

// ---- plan

class PlanReader {
 public:
  PlanReader(const PublishedRun& run, RowSetup& row) : run_(run), row_(row) {}

  void read() {
    read_degrees();
    read_sharding();
    read_batch();
    for (const Recompute recompute : recomputes()) {
      row_.plans.push_back(plan_);
      row_.plans.back().recompute = recompute;
    }
  }

 private:
  int size(const std::optional<std::int64_t>& cell, const char* column, std::int64_t absent) {
    if (!cell) assume(column, absent);
    return static_cast<int>(cell.value_or(absent));
  }
  void assume(const char* column, std::int64_t value) { row_.assumed.push_back(fmt::format("{}: {}", column, value)); }

  void read_degrees() {
    if (!run_.n_gpus) refuse("n_gpus is blank");
    plan_.gpus = static_cast<int>(*run_.n_gpus);
    plan_.tp = size(run_.tp, "tp", 1);
    plan_.pp = size(run_.pp, "pp", 1);
    plan_.cp = size(run_.cp, "cp", 1);
    const std::int64_t split = std::int64_t{plan_.tp} * plan_.pp * plan_.cp;
    if (!run_.dp && plan_.gpus % split != 0) {
      refuse(fmt::format("tp {} x pp {} x cp {} do not divide {} GPUs", plan_.tp, plan_.pp, plan_.cp, plan_.gpus));
    }
    plan_.dp = size(run_.dp, "dp", plan_.gpus / split);
    if (plan_.pp > 1) plan_.vpp = size(run_.vpp, "vpp", 1);
    if (plan_.vpp > 1) plan_.schedule = PipelineSchedule::kInterleaved;
    if (row_.workload.model.experts > 0) plan_.ep = size(run_.ep, "ep", 1);
    if (plan_.cp > 1 && holds_word(run_.notes, "ulysses")) std::swap(plan_.cp, plan_.ulysses);
  }

  void read_sharding() {
    const bool default_sp = row_.framework.default_sp && plan_.tp > 1;
    if (plan_.tp > 1) plan_.sp = size(run_.sp, "sp", default_sp ? 1 : 0) == 1;
    plan_.offload = offload();
    if (run_.offload.empty()) row_.assumed.emplace_back("offload: none");
    plan_.zero = size(run_.zero_stage, "zero_stage", std::max(row_.framework.default_zero, least_zero()));
    if (holds_word(run_.notes, "HSDP")) plan_.shard = std::min(plan_.dp, row_.target.system.gpus_per_node);
  }

  Offload offload() const {
    if (run_.offload.empty() || holds_word(run_.offload, "none")) return Offload::kNone;
    const bool drive = holds_word(run_.offload, "nvme");
    const bool parameters = holds_word(run_.offload, "param") || holds_word(run_.notes, "offload of optimizer + param");
    if (parameters) return drive ? Offload::kParametersNvme : Offload::kParameters;
    return drive ? Offload::kOptimizerNvme : Offload::kOptimizer;
  }

  /// Stage that the offload needs: parameters leave with stage 3 only.
  std::int64_t least_zero() const {
    if (plan_.offload == Offload::kNone) return 0;
    return plan_.offload == Offload::kParameters || plan_.offload == Offload::kParametersNvme ? 3 : 2;
  }

  void read_batch() {
    plan_.micro_batch = size(run_.micro_batch, "micro_batch", 1);
    if (!run_.global_batch && plan_.pp > 1) {
      refuse("global_batch is blank, and in a pipeline the number of micro-batches decides the step time");
    }
    const std::int64_t least = plan_.dp * plan_.micro_batch;
    if (!run_.global_batch) assume("global_batch", least);
    plan_.global_batch = run_.global_batch.value_or(least);
  }

  std::vector<Recompute> recomputes() {
    const std::string& text = run_.recompute;
    if (holds_word(text, "selective") || holds_word(text, "attn")) return {Recompute::kSelective};
    if (holds_word(text, "full")) return {Recompute::kFull};
    for (const std::string_view no : {"none", "no", "off", "0", "false"}) {
      if (text == no) return {Recompute::kNone};
    }
    return {Recompute::kNone, Recompute::kSelective, Recompute::kFull};
  }

  const PublishedRun& run_;
  RowSetup& row_;
  Plan plan_;
};

}  // namespace

RowSetup set_up_row(const PublishedRun& run, const HardwareCatalog& catalog) {
  RowSetup row;
  try {
    RowTarget where = target_of(run, catalog);
    row.target = std::move(where.target);
    row.assumed = std::move(where.assumed);
    row.framework = framework_of(run, row.assumed);
    adapt(row.framework, run, row.assumed);
    row.workload = workload_of(run, row.target.gpu, row.assumed);
    PlanReader(run, row).read();
  } catch (const Error& error) {
    row.skipped = error.what();
  }
  return row;
}

}  // namespace shardscope
