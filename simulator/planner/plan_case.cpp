#include "simulator/planner/plan_case.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/program/passes/precision.h"
#include "core/spec/json_reader.h"
#include "core/spec/model_catalog.h"
#include "simulator/analytic/zero_plus_plus.h"
#include "simulator/planner/space.h"

namespace shardscope {
namespace {

constexpr std::array kTrained{Arithmetic::kBf16, Arithmetic::kFp16, Arithmetic::kFp8,
                              Arithmetic::kFp4,  Arithmetic::kTf32, Arithmetic::kFp32};

template <class Value, class List>
Value value_of_name(const char* what, std::string_view name, const List& values) {
  std::vector<std::string_view> known;
  for (const Value v : values) {
    if (to_string(v) == name) return v;
    known.push_back(to_string(v));
  }
  throw Error(ErrorKind::kConfig,
              fmt::format("{} is \"{}\"; it must be one of {}", what, printable(name), fmt::join(known, ", ")));
}

const JsonNode& point_of(const JsonNode& root, const std::string& file, int point) {
  const JsonNode* front = root.find("pareto");
  if (front == nullptr) return root;
  const auto size = static_cast<int>(front->items.size());
  if (point < 0) point = static_cast<int>(JsonReader(root, file, "").integer("recommended", {0, INT32_MAX}, 0));
  if (point >= 0 && point < size) return front->items[static_cast<std::size_t>(point)];
  throw Error(ErrorKind::kConfig, fmt::format("{}: pareto has {} points; there is no number {}", file, size, point));
}

double width(DType dtype) { return static_cast<double>(size_of(dtype)); }

/// Our engine as the job sets it up.
FrameworkSpec own_framework(const Job& job) {
  FrameworkSpec f = find_framework(default_frameworks(), "shardscope");
  const TrainingDtypes types = dtypes_of(job);
  const ZeroSpec& zero = job.training.zero;
  f.parameter_bytes = f.gather_bytes = f.logit_bytes = width(types.model);
  f.gradient_bytes = width(types.gradient), f.reduce_bytes = width(types.communication);
  f.master_bytes = types.has_master() ? width(DType::kF32) : 0;
  f.overlaps_gradients = f.overlaps_gathers = zero.overlap_comm;
  f.bucket_elements = zero.reduce_bucket_size, f.prefetch_elements = zero.prefetch_bucket_size,
  f.live_elements = zero.max_live_parameters;
  f.persistent_elements = zero.param_persistence_threshold, f.sub_group_elements = zero.sub_group_size;
  f.partition = job.parallel.partition;
  return f;
}

Offload offload_of(const ZeroSpec& zero) {
  if (zero.offload_param.device != OffloadDevice::kNone) {
    return zero.offload_param.device == OffloadDevice::kNvme ? Offload::kParametersNvme : Offload::kParameters;
  }
  if (zero.offload_optimizer.device == OffloadDevice::kNone) return Offload::kNone;
  return zero.offload_optimizer.device == OffloadDevice::kNvme ? Offload::kOptimizerNvme : Offload::kOptimizer;
}

/// Ranks that share one copy of the state.
int shard_of(const ZeroSpec& zero) { return static_cast<int>(std::max<std::int64_t>(0, zero.mics_shard_size)); }

}  // namespace

double ranks_of(const Plan& p) { return 1.0 * p.dp * p.tp * p.pp * p.cp * p.ulysses; }

Arithmetic trained_arithmetic(std::string_view name) { return value_of_name<Arithmetic>("precision", name, kTrained); }

Recompute recompute_from_name(std::string_view name) {
  return value_of_name<Recompute>("recompute", name,
                                  std::array{Recompute::kNone, Recompute::kSelective, Recompute::kFull});
}

Estimate estimate_case(const PlanCase& c) {
  std::string problem = find_plan_problem(c.workload, c.target, c.plan);
  if (problem.empty()) problem = find_framework_problem(c.framework, c.plan);
  if (!problem.empty()) throw Error(ErrorKind::kConfig, problem);
  return Estimator(c.workload, c.target, c.framework).estimate(c.plan);
}

nlohmann::ordered_json plan_json(const Plan& p) {
  nlohmann::ordered_json json{{"gpus", p.gpus},
                              {"dp", p.dp},
                              {"tp", p.tp},
                              {"pp", p.pp},
                              {"vpp", p.vpp},
                              {"cp", p.cp},
                              {"ep", p.ep},
                              {"zero", p.zero},
                              {"offload", to_string(p.offload)},
                              {"micro_batch", p.micro_batch},
                              {"recompute", to_string(p.recompute)},
                              {"sp", p.sp},
                              {"ulysses", p.ulysses},
                              {"shard", p.shard}};
  if (p.hpz > 1) json["hpz"] = p.hpz;
  if (p.quantized_weights) json["quantized_weights"] = true;
  if (p.quantized_gradients) json["quantized_gradients"] = true;
  return json;
}

Plan read_plan(const JsonReader& json) {
  const auto size = [&](const char* key) { return static_cast<int>(json.integer(key, {1, 1 << 24}, 1)); };
  Plan p;
  p.gpus = size("gpus"), p.dp = size("dp"), p.tp = size("tp"), p.pp = size("pp"), p.vpp = size("vpp");
  p.cp = size("cp"), p.ulysses = size("ulysses"), p.ep = size("ep");
  p.sp = json.boolean("sp", false);
  p.zero = static_cast<int>(json.integer("zero", {0, 3}, 0));
  p.shard = static_cast<int>(json.integer("shard", {0, 1 << 24}, 0));
  p.hpz = size("hpz");
  p.quantized_weights = json.boolean("quantized_weights", false);
  p.quantized_gradients = json.boolean("quantized_gradients", false);
  p.offload = json.named("offload", offload_from_name);
  p.recompute = json.named("recompute", recompute_from_name);
  p.schedule = p.vpp > 1 ? PipelineSchedule::kInterleaved : PipelineSchedule::k1F1B;
  p.micro_batch = json.integer("micro_batch", {1, std::int64_t{1} << 32});
  if (ranks_of(p) != p.gpus) json.fail("gpus", "must be dp * tp * pp * cp * ulysses");
  return p;
}

nlohmann::ordered_json plan_case_json(const PlanCase& c) {
  nlohmann::ordered_json json{{"gpu", c.target.gpu.name}};
  json.update(plan_json(c.plan));
  json.update(nlohmann::ordered_json{{"global_batch", c.plan.global_batch},
                                     {"seq", c.workload.seq},
                                     {"precision", to_string(c.workload.arithmetic)},
                                     {"expert_imbalance", c.workload.expert_imbalance},
                                     {"framework", c.framework.name},
                                     {"system", c.target.system.name},
                                     {"model", c.model}});
  return json;
}

bool is_plan_case(const std::string& json_text, const std::string& file_name) {
  const JsonNode root = parse_json(json_text, file_name);
  return root.find("pareto") != nullptr || root.find("gpu") != nullptr;
}

PlanCase parse_plan_case(const std::string& json_text, const std::string& file_name, int point,
                         const HardwareCatalog& catalog) {
  const JsonNode root = parse_json(json_text, file_name);
  const JsonReader json(point_of(root, file_name, point), file_name, "");
  PlanCase c;
  c.model = json.text("model");
  c.workload.model = open_model(c.model);
  c.workload.seq = json.integer("seq", {1, std::int64_t{1} << 32});
  c.workload.arithmetic = trained_arithmetic(json.text("precision", "bf16"));
  c.workload.expert_imbalance = json.real("expert_imbalance", {1, 1e3}, 1);
  c.target = target_of(catalog, find_system(catalog, json.text("system", json.text("gpu"))));
  c.framework = in_precision(find_framework(default_frameworks(), json.text("framework")), c.workload.arithmetic);
  c.plan = read_plan(json);
  c.plan.global_batch = json.integer("global_batch", {1, std::int64_t{1} << 32});
  return c;
}

PlanCase plan_case_of(const Job& job, const HardwareCatalog& catalog) {
  if (job.cluster.empty()) {
    throw Error(ErrorKind::kConfig,
                "the job has no cluster; give one: \"cluster\": \"dgx-h100:32\", or a cluster file");
  }
  PlanCase c;
  c.model = job.model.name;
  c.workload.model = job.model;
  c.workload.seq = job.data.seq_len;
  const Precision precision = job.training.precision.kind;
  c.workload.arithmetic = job.fp8.enabled                 ? Arithmetic::kFp8
                          : precision == Precision::kFp32 ? Arithmetic::kFp32
                          : precision == Precision::kFp16 ? Arithmetic::kFp16
                                                          : Arithmetic::kBf16;
  c.workload.capacity_factor = job.moe.capacity_factor;
  c.target = names_catalog_cluster(job.cluster)
                 ? target_of(catalog, find_system(catalog, job.cluster.substr(0, job.cluster.rfind(':'))))
                 : target_of(load_cluster(job.cluster));
  c.framework =
      job.zero_mode == ZeroMode::kDeepSpeed ? find_framework(default_frameworks(), "deepspeed") : own_framework(job);
  const ParallelSpec& parallel = job.parallel;
  Plan& p = c.plan;
  p.gpus = parallel.ranks(), p.dp = parallel.dp, p.tp = parallel.tp, p.pp = parallel.pp,
  p.vpp = parallel.virtual_stages;
  p.ulysses = parallel.ulysses, p.cp = parallel.cp / parallel.ulysses;  // a job's cp counts both
  p.ep = parallel.ep, p.sp = parallel.sp, p.schedule = parallel.schedule;
  p.zero = job.training.zero.stage, p.shard = shard_of(job.training.zero), p.offload = offload_of(job.training.zero);
  const ZeroSpec& zero = job.training.zero;
  p.hpz = static_cast<int>(std::max<std::int64_t>(1, zero.hpz_partition_size));
  p.quantized_weights = zero.quantized_weights, p.quantized_gradients = zero.quantized_gradients;
  p.recompute = job.recompute;
  p.micro_batch = job.training.micro_batch;
  p.global_batch = job.training.micro_batch * job.training.accumulation * parallel.dp;
  return c;
}

}  // namespace shardscope
