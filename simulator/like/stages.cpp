#include "simulator/like/stages.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/program/lower.h"
#include "core/spec/job_settings.h"
#include "profiler/store/profile_writer.h"
#include "simulator/like/measured_run.h"
#include "simulator/simulate.h"

namespace shardscope {
namespace {

struct Stage {
  std::string name;
  int zero = 0;
  bool offload = false;
};

std::vector<Stage> all_stages() {
  std::vector<Stage> stages;
  for (int zero = 0; zero <= 3; ++zero) stages.push_back({fmt::format("ZeRO-{}", zero), zero, false});
  stages.push_back({"ZeRO-3 + offload", 3, true});
  return stages;
}

Job job_of(const MeasuredJob& run, const Stage& stage) {
  const std::string changed = apply_job_settings(
      run.text,
      {fmt::format("zero.stage={}", stage.zero), fmt::format("offload={}", stage.offload ? "optimizer-cpu" : "none")});
  return parse_job(changed, run.source + ", " + stage.name, {});
}

RunInfo info_of(const MeasuredJob& run, const Stage& stage, const Job& job, const Program& program,
                const Machine& machine) {
  return {.name = stage.name,
          .predicted = true,
          .framework = "shardscope",
          .model = job.model.name,
          .world = job.parallel.ranks(),
          .zero_stage = stage.zero,
          .job_json = job_record(job, {run.cores, machine.threads_per_rank(job.parallel.ranks()), run.processor, ""}),
          .parameters = run.row.parameters,
          .tokens_per_step = program.tokens_per_step,
          .flops_per_token = run.row.flops_per_token,
          .peak_flops_per_rank = machine.peak_per_rank(job.parallel.ranks()).value,
          .device_memory_limit = job.device_memory_bytes};
}

void simulate_into(const std::string& path, const MeasuredJob& run, const Stage& stage, const Machine& machine) {
  const Job job = job_of(run, stage);
  std::vector<Program> programs;
  for (int rank = 0; rank < job.parallel.ranks(); ++rank) programs.push_back(lower(job, rank));
  ProfileWriter writer(path, info_of(run, stage, job, programs.front(), machine));
  simulate(programs, machine, {.sink = &writer, .steps = 1, .flops_per_token = run.row.flops_per_token});
  writer.finish();
  if (!writer.problem().empty()) throw Error(ErrorKind::kIo, writer.problem());
}

}  // namespace

std::vector<StageOutcome> predict_stages(const Profile& profile, const std::string& run, const std::string& path,
                                         const std::function<bool()>& stopped) {
  const MeasuredJob measured = read_measured_run(profile, run);
  const Machine machine = refit(base_machine(measured, ""), measured.measured()).machine;
  const bool offloads = measured.job.training.zero.offload_optimizer.device != OffloadDevice::kNone;
  std::vector<StageOutcome> outcomes;
  for (const Stage& stage : all_stages()) {
    if (stopped()) break;
    StageOutcome outcome{stage.name, "", stage.zero == measured.row.zero_stage && stage.offload == offloads};
    try {
      simulate_into(path, measured, stage, machine);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kIo) throw;
      outcome.problem = error.what();
    }
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

}  // namespace shardscope
