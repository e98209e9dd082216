#include "simulator/like/trials.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/program/lower.h"
#include "core/spec/job_settings.h"
#include "simulator/simulate.h"

namespace shardscope {
namespace {

std::vector<Program> lower_all(const Job& job) {
  std::vector<Program> programs;
  for (int rank = 0; rank < job.parallel.ranks(); ++rank) programs.push_back(lower(job, rank));
  return programs;
}

double token_seconds(const std::vector<Program>& programs, const Prediction& prediction) {
  return prediction.step_time_s / std::max<double>(1, static_cast<double>(programs.front().tokens_per_step));
}

std::int64_t fullest(const Prediction& prediction) {
  std::int64_t most = 0;
  for (const RankPrediction& rank : prediction.ranks)
    most = std::max(most, rank.peak.peak_bytes[static_cast<std::size_t>(Space::kDevice)]);
  return most;
}

}  // namespace

LikeTrials::LikeTrials(const Profile& profile, const std::string& run) : run_(read_measured_run(profile, run)) {
  machine_ = refit(base_machine(run_, ""), run_.measured()).machine;
  const Prediction as_run = simulate(run_.programs, machine_);
  token_s_ = token_seconds(run_.programs, as_run);
  peak_bytes_ = fullest(as_run);
}

LikeOutcome LikeTrials::try_settings(const std::vector<std::string>& settings) const {
  try {
    const Job job = parse_job(apply_job_settings(run_.text, settings), run_.source, {});
    const std::vector<Program> programs = lower_all(job);
    const Prediction prediction = simulate(programs, machine_);
    const std::int64_t peak = fullest(prediction);
    if (job.device_memory_bytes > 0 && peak > job.device_memory_bytes)
      return {.problem = fmt::format("does not fit: {} of {} bytes of a device", peak, job.device_memory_bytes)};
    const double memory = peak_bytes_ > 0 ? static_cast<double>(peak) / static_cast<double>(peak_bytes_) - 1 : 0;
    return {token_s_ > 0 ? token_seconds(programs, prediction) / token_s_ - 1 : 0, memory, ""};
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kIo) throw;
    return {.problem = error.what()};
  }
}

}  // namespace shardscope
