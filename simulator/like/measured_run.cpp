#include "simulator/like/measured_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/program/lower.h"
#include "core/spec/hardware.h"
#include "core/spec/json_reader.h"
#include "profiler/query/op_seconds.h"
#include "profiler/query/step_times.h"
#include "profiler/store/program_rows.h"

namespace shardscope {
namespace {

constexpr int kMostCores = 65536;

RunRow choose_run(const Profile& profile, const std::string& name) {
  if (!name.empty()) {
    RunRow row = find_run(profile, name);
    if (!row.predicted) return row;
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: run {} ({}) was predicted; a machine is fitted to one that was measured",
                            profile.path(), row.id, printable(row.name)));
  }
  const std::vector<RunRow> runs = list_runs(profile);
  if (runs.empty()) throw Error(ErrorKind::kConfig, profile.path() + ": holds no runs");
  const auto last = std::find_if(runs.rbegin(), runs.rend(), [](const RunRow& run) { return !run.predicted; });
  if (last != runs.rend()) return *last;
  throw Error(ErrorKind::kConfig, profile.path() +
                                      ": holds only predicted runs; one that was measured is needed: "
                                      "`shardscope train JOB.json --profile RUN.db`");
}

/// Job, cores and threads of the record.
void read_record(const Profile& profile, MeasuredJob& run) {
  const std::string where = run.source + ": job_json", record = job_record(profile, run.row.id);
  const JsonNode root = parse_json(record, where);
  const JsonReader reader(root, where, "");
  const JsonNode* job = reader.find("job");
  if (run.row.framework != "shardscope" || job == nullptr) {
    throw Error(ErrorKind::kUnsupported, run.source +
                                             ": was recorded without its job; only runs of `shardscope train` "
                                             "have it, since it is kept whole: record it again");
  }
  run.text = to_json_text(*job);
  run.job = parse_job(run.text, run.source, {});
  run.cores = static_cast<int>(reader.integer("cores", {1, kMostCores}));
  run.processor = reader.text("processor", "");
  if (const JsonNode* machine = reader.find("machine_file")) run.machine_text = to_json_text(*machine);
  const std::int64_t threads = reader.integer("threads_per_rank", {1, kMostCores});
  const std::int64_t share = std::max(1, run.cores / run.job.parallel.ranks());
  if (threads == share) return;
  throw Error(ErrorKind::kUnsupported,
              fmt::format("{}: ran on {} threads a rank; predictions are for cores / ranks = {}: train it without "
                          "--threads",
                          run.source, threads, share));
}

void read_ops(const Profile& profile, MeasuredJob& run) {
  std::vector<RankSeconds> ranks = op_seconds(profile, run.row.id);
  if (static_cast<int>(ranks.size()) != run.job.parallel.ranks()) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: has rows of {} of its {} ranks", run.source, ranks.size(), run.job.parallel.ranks()));
  }
  std::vector<double> gaps;
  for (RankSeconds& rank : ranks) {
    gaps.push_back(rank.lane_gap_s);
    run.programs.push_back(lower(run.job, rank.rank));
    if (hash_of(op_records(run.programs.back())) != rank.program_hash) {
      throw Error(ErrorKind::kUnsupported,
                  fmt::format("{}: rank {} ran another program than its job has here; was it recorded by another "
                              "version? Record it again",
                              run.source, rank.rank));
    }
    run.op_seconds.push_back(std::move(rank.seconds));
    run.quick_seconds.push_back(std::move(rank.quick_seconds));
  }
  run.lane_gap_s = quantile(gaps, 0.5);
  run.step_s = step_times(profile, run.row.id).median_s;
}

}  // namespace

std::string describe_waits(const MeasuredJob& run, const Refit& fitted) {
  const int ranks = run.job.parallel.ranks();
  std::string text;
  if (ranks > run.cores)
    text += fmt::format("{} ranks did the work of {:.2f} of {} cores; ", ranks, fitted.capacity, run.cores);
  if (ranks > 1)
    text += fmt::format("a collective among busy cores waited {:.2f} ms; ", 1e3 * fitted.crowded_meeting_s);
  return text + fmt::format("all of it x {:.3f}, for what is left to the measured step", fitted.scale);
}

namespace {

/// Of a file that was named from where the command ran; empty stays empty.
std::string place_of(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

}  // namespace

std::string MeasuredJob::place() const {
  return fmt::format("{} core{} of {}", cores, cores == 1 ? "" : "s",
                     processor.empty() ? "a processor not recorded" : printable(processor));
}

Machine base_machine(const MeasuredJob& run, const std::string& path) {
  if (!path.empty()) {
    Machine base = load_machine(path);
    if (base.cores == run.cores) return base;
    throw Error(ErrorKind::kConfig, fmt::format("{}: is of a machine with {} cores; {} was measured on {}", path,
                                                base.cores, run.source, run.place()));
  }
  if (run.machine_text.empty()) return default_machine(run.cores);
  Machine own = parse_machine(run.machine_text, run.source + ": machine_file");
  return own.cores == run.cores ? own : default_machine(run.cores);  // trained with another machine's file
}

std::string job_record(const Job& job, const RunPlace& place) {
  nlohmann::json record{{"job", nlohmann::json::parse(job.text)},
                        {"machine", place_of(job.machine)},
                        {"cluster", names_catalog_cluster(job.cluster) ? job.cluster : place_of(job.cluster)},
                        {"cores", place.cores},
                        {"threads_per_rank", place.threads_per_rank},
                        {"processor", place.processor},
                        {"model", job.model.name},
                        {"ranks", job.parallel.ranks()},
                        {"zero_stage", job.training.zero.stage},
                        {"zero_mode", to_string(job.zero_mode)},
                        {"micro_batch", job.training.micro_batch},
                        {"accumulation", job.training.accumulation},
                        {"train_batch_size", job.training.train_batch_size},
                        {"seq_len", job.data.seq_len},
                        {"data", job.data.path},
                        {"tokenizer", job.data.tokenizer},
                        {"steps", job.steps},
                        {"seed", job.seed},
                        {"learning_rate", job.training.optimizer.lr}};
  if (!place.machine_text.empty()) record["machine_file"] = nlohmann::json::parse(place.machine_text);
  return record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

MeasuredJob read_measured_run(const Profile& profile, const std::string& name) {
  MeasuredJob run;
  run.row = choose_run(profile, name);
  run.source = fmt::format("run {} of {}", printable(run.row.name), profile.path());
  read_record(profile, run);
  read_ops(profile, run);
  return run;
}

}  // namespace shardscope
