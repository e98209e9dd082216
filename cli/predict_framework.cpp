// shardscope predict --framework: the job as another framework would run it, by the closed form.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/predict_explain.h"
#include "core/error.h"
#include "core/spec/hardware.h"
#include "simulator/analytic/gpu_model.h"

namespace shardscope::cli {
namespace {

using Json = nlohmann::ordered_json;

/// The closed form's terms as the event level's parts of a step.
struct Parts {
  double compute = 0, exposed = 0, bubble = 0, offload = 0, optimizer = 0;
};

Parts parts_of(const Estimate& e) {
  using T = TimeTerm;
  return {e[T::kMatmul] + e[T::kAttention] + e[T::kElements] + e[T::kHost] + e[T::kRecompute] + e[T::kFixed],
          e[T::kTensor] + e[T::kContext] + e[T::kExpert] + e[T::kData] + e[T::kPipeline], e[T::kBubble], e[T::kOffload],
          e[T::kOptimizer]};
}

/// What is known of it is of mixed precision: 16-bit copies that kernels read, beside an fp32 one or shards.
bool is_mixed(const FrameworkSpec& f) { return !f.engine && f.gather_bytes < 4; }

class FrameworkPrediction {
 public:
  FrameworkPrediction(const Job& job, const FrameworkOptions& options) : job_(job), options_(options) {
    if (!job.profile.empty()) {
      throw Error(ErrorKind::kConfig,
                  "--framework: is predicted by the closed form, which has no rows for --profile; leave one out");
    }
    case_ = plan_case_of(job, default_catalog());
    case_.framework = find_framework(default_frameworks(), options.framework);
    if (case_.workload.arithmetic == Arithmetic::kFp32 && is_mixed(case_.framework)) {
      case_.workload.arithmetic = Arithmetic::kBf16;
      precision_note_ = fmt::format("; of {} in the job's fp32 nothing is known", case_.framework.name);
    }
    case_.framework = in_precision(case_.framework, case_.workload.arithmetic);
    case_.workload.expert_imbalance = options.expert_imbalance;
    if (options.expert_imbalance != 1 && case_.workload.model.experts == 0) {
      throw Error(ErrorKind::kConfig, fmt::format("--expert-imbalance {}: {} has no experts", options.expert_imbalance,
                                                  case_.workload.model.name));
    }
    why_ = explain(case_);
    interval_ = interval_of(case_.framework.name, case_.plan.gpus, estimate().step_time_s);
    limit_ = job.device_memory_bytes > 0 ? static_cast<double>(job.device_memory_bytes) : case_.target.gpu.memory.value;
  }

  void print() const { options_.json ? print_json() : print_text(); }

 private:
  const Estimate& estimate() const { return why_.estimate; }
  bool fits() const { return estimate().used <= limit_; }
  double tokens() const { return static_cast<double>(case_.plan.global_batch * case_.workload.seq); }
  double tokens_per_s() const { return tokens() / estimate().step_time_s; }
  double flops_per_token() const { return training_flops_per_token(job_.model, job_.data.seq_len); }

  double mfu() const {
    const GpuModel gpu(case_.target.gpu, {});
    return flops_per_token() * tokens_per_s() / (case_.plan.gpus * gpu.mfu_peak(case_.workload.arithmetic));
  }

  const char* limit_of() const {
    return job_.device_memory_bytes > 0 ? "device memory given" : case_.target.gpu.name.c_str();
  }
  std::string source() const {
    return fmt::format("closed form of {} (data/frameworks) on {}", case_.framework.name, case_.target.system.name);
  }

  void print_text() const {
    const Parts parts = parts_of(estimate());
    fmt::print("{}: {:.1f} M parameters, {}, ZeRO {}, {} x {}, {:.0f} tokens a step\n", job_.model.name,
               static_cast<double>(parameter_count(job_.model)) * 1e-6, case_.framework.name, case_.plan.zero,
               case_.plan.gpus, case_.target.gpu.name, tokens());
    fmt::print("step        {:.4f} s, {:.0f} tokens/s, MFU {:.1f} %\n{}", estimate().step_time_s, tokens_per_s(),
               100 * mfu(), interval_text(interval_));
    const auto part = [&](const char* name, double seconds) {
      if (seconds > 0)
        fmt::print("  {:<24}{:10.4f} s  {:5.1f} %\n", name, seconds, 100 * seconds / estimate().step_time_s);
    };
    part("compute", parts.compute), part("exposed communication", parts.exposed), part("optimizer", parts.optimizer);
    part("offload", parts.offload), part("bubble", parts.bubble);
    fmt::print("memory      {:.2f} GB on the fullest rank, {} {:.2f} GB ({})\n", estimate().used / 1e9,
               fits() ? "fits" : "DOES NOT FIT", limit_ / 1e9, limit_of());
    if (job_.model.experts > 0) {
      fmt::print("experts     the fullest rank has {:g} times the mean's tokens\n", case_.workload.expert_imbalance);
    }
    fmt::print("precision   {}{}\n", to_string(case_.workload.arithmetic), precision_note_);
    fmt::print("source      {}\n", source());
    if (options_.explain) fmt::print("{}", explanation_text(why_));
  }

  void print_json() const {
    const Parts parts = parts_of(estimate());
    Json out;
    out["model"] = {
        {"name", job_.model.name}, {"parameters", parameter_count(job_.model)}, {"flops_per_token", flops_per_token()}};
    out["framework"] = case_.framework.name;
    if (job_.model.experts > 0) out["expert_imbalance"] = case_.workload.expert_imbalance;
    out["precision"] = to_string(case_.workload.arithmetic);
    out["fp8"] = nullptr;
    if (job_.fp8.enabled) out["fp8"] = {{"format", to_string(job_.fp8.format)}, {"products", nullptr}, {"of", nullptr}};
    out["zero_stage"] = case_.plan.zero;
    out["tokens_per_step"] = case_.plan.global_batch * case_.workload.seq;
    out["step_time_s"] = estimate().step_time_s;
    out["interval"] = {interval_.low_s, interval_.high_s};
    out["interval_median"] = interval_.median_s;
    out["interval_source"] = interval_.source;
    out["breakdown_s"] = {{"compute", parts.compute},
                          {"exposed_communication", parts.exposed},
                          {"bubble", parts.bubble},
                          {"offload", parts.offload},
                          {"optimizer", parts.optimizer}};
    out["tokens_per_s"] = tokens_per_s();
    out["mfu"] = mfu();
    add_memory(out);
    out["ranks"] = out["peak_bytes_per_rank"] = Json::array();  // the closed form knows the fullest only
    out["calibrated"] = false;
    out["source"] = source();
    out["profile"] = nullptr;
    if (options_.explain) out["explain"] = explanation_json(why_);
    fmt::print("{}\n", out.dump(-1, ' ', false, Json::error_handler_t::replace));
  }

  void add_memory(Json& out) const {
    out["fits"] = fits();
    out["memory_limit_bytes"] = limit_;
    out["headroom_bytes"] = limit_ - estimate().used;
    out["memory_limit_of"] = limit_of();
    out["beside_bytes"] = 0;  // what a framework takes is in the terms of its memory
    out["suggestions"] = Json::array();
    for (const ExplainedMemory& p : why_.memory)
      out["memory_by_category"]["device"][std::string(to_string(p.term))] = p.bytes;
  }

  const Job& job_;
  const FrameworkOptions& options_;
  PlanCase case_;
  Explanation why_;
  Interval interval_;
  std::string precision_note_;
  double limit_ = 0;
};

}  // namespace

void predict_framework(const Job& job, const FrameworkOptions& options) { FrameworkPrediction(job, options).print(); }

}  // namespace shardscope::cli
