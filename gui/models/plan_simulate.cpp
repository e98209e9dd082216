#include "gui/models/plan_simulate.h"

#include <fmt/format.h>

#include <filesystem>

#include "core/error.h"
#include "profiler/store/profile_writer.h"
#include "simulator/fold/trace_classes.h"
#include "simulator/planner/files.h"
#include "simulator/planner/plan_text.h"

namespace shardscope::gui {
namespace {

/// "64-h100-sxm-zero-1-dp-8-tp-8": also a file's name.
std::string file_name_of(const PlanCase& c) {
  std::string name =
      fmt::format("{}-{}-zero-{}-{}", c.plan.gpus, c.target.gpu.name, zero_text(c.plan), layout_text(c.plan));
  for (char& letter : name) {
    if (letter == ' ' || letter == '/') letter = '-';
  }
  return name;
}

/// A model's file is named from where the job's file will lie.
PlanCase with_absolute_model(PlanCase c) {
  std::error_code code;
  if (std::filesystem::exists(c.model, code)) c.model = std::filesystem::absolute(c.model).string();
  return c;
}

/// An interleaved pipeline of our engine takes micro-batches in whole rounds of its stages: what is over is left out.
/// How many are simulated then; 0: all.
int keep_whole_rounds(Plan& p) {
  const std::int64_t all = p.micro_batches(), whole = all / p.pp * p.pp;
  if (p.vpp == 1 || whole == all || whole == 0) return 0;
  p.global_batch = whole * p.dp * p.micro_batch;
  return static_cast<int>(whole);
}

RunInfo run_info(const PlanCase& c, const Job& job, const ClusterSpec& cluster) {
  return {.name = fmt::format("plan: {} x {}, {}, ZeRO {}", c.plan.gpus, c.target.gpu.name, layout_text(c.plan),
                              zero_text(c.plan)),
          .predicted = true,
          .framework = "shardscope",
          .model = job.model.name,
          .world = job.parallel.ranks(),
          .zero_stage = job.training.zero.stage,
          .job_json = job.text,
          .parameters = parameter_count(job.model),
          .tokens_per_step = job.training.train_batch_size * job.data.seq_len,
          .flops_per_token = training_flops_per_token(job.model, job.data.seq_len),
          .peak_flops_per_rank = cluster.device.peak_flops[static_cast<std::size_t>(DType::kBF16)].value,
          .device_memory_limit = static_cast<std::int64_t>(cluster.device.memory.value)};
}

}  // namespace

SimulatedPlan simulate_plan(const PlanCase& plan_case, double tokens, const HardwareCatalog& catalog,
                            const std::string& folder, const std::function<bool(double done)>& progress) {
  PlanCase c = with_absolute_model(plan_case);
  const int kept = keep_whole_rounds(c.plan);
  const std::string name = file_name_of(c), place = folder + "/" + name;
  write_files(place, plan_files(c, tokens));
  const Job job = load_job(place + "/job.json", {});
  const ClusterSpec cluster = make_cluster(catalog, c.target.system, c.plan.gpus);
  SimulatedPlan run{.path = place + "/" + name + ".db"};
  std::error_code code;
  std::filesystem::remove(run.path, code);  // of an earlier look at the same plan
  ProfileWriter writer(run.path, run_info(c, job, cluster));
  const TracedClasses traced = trace_classes(job, cluster, writer, {.progress = progress});
  writer.finish();
  if (!writer.problem().empty()) throw Error(ErrorKind::kIo, writer.problem());
  run.step_time_s = traced.prediction.step_time_s;
  run.ranks = static_cast<int>(traced.ranks.size());
  run.micro_batches = traced.micro_batches > 0 ? traced.micro_batches : kept;
  return run;
}

}  // namespace shardscope::gui
