// shardscope lower: prints the program that train runs and predict times.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/job_options.h"
#include "core/error.h"
#include "core/program/lower.h"
#include "core/program/text.h"
#include "core/program/verify.h"

namespace shardscope::cli {
namespace {

struct Options {
  JobOptions job;
  int rank = 0;
  std::string after;
  std::vector<std::string> skip;
  bool passes = false, check = false, json = false;
};

nlohmann::json memory_json(const Program& program) {
  const MemoryPeak peak = compute_memory_peak(program);
  nlohmann::json spaces = nlohmann::json::object();
  for (int s = 0; s < kSpaces; ++s) {
    const auto i = static_cast<std::size_t>(s);
    if (peak.peak_bytes[i] > 0) spaces[std::string(to_string(static_cast<Space>(s)))] = peak.peak_bytes[i];
  }
  return spaces;
}

void print_passes(const std::vector<PassRecord>& log) {
  for (const PassRecord& pass : log) {
    fmt::print(stderr, "{:<12} {:>8} ops {:>9.3f} ms{}\n", pass.name, pass.instructions, pass.seconds * 1e3,
               pass.changed ? "" : "  (unchanged)");
  }
}

void check_all_ranks(const Job& job) {
  std::vector<Program> ranks;
  for (int r = 0; r < job.parallel.ranks(); ++r) ranks.push_back(lower(job, r));
  for (const Program& program : ranks) verify(program, fmt::format("rank {}", program.rank));
  const std::vector<std::string> faults = find_mismatches(ranks);
  if (!faults.empty()) throw Error(ErrorKind::kConfig, faults.front());
  fmt::print(stderr, "{} ranks verified: no race, no leak, collectives match\n", ranks.size());
}

void run(const Options& o) {
  const Job job = load_job(o.job.file, o.job.overrides);
  std::vector<PassRecord> log;
  const Program program = lower(job, o.rank, {o.after, o.skip, false, &log});
  if (o.check) check_all_ranks(job);
  if (o.passes) print_passes(log);
  if (!o.json) {
    fmt::print("{}", to_string(program));
    return;
  }
  nlohmann::json passes = nlohmann::json::array();
  for (const PassRecord& p : log) {
    passes.push_back({{"name", p.name}, {"ops", p.instructions}, {"seconds", p.seconds}, {"changed", p.changed}});
  }
  nlohmann::json out{{"rank", program.rank},
                     {"world", program.world},
                     {"passes", passes},
                     {"ops", program.instructions.size()},
                     {"buffers", program.buffers.size()},
                     {"peak_bytes", memory_json(program)},
                     {"text", to_string(program)}};
  fmt::print("{}\n", out.dump());
}

}  // namespace

void add_lower(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("lower", "Print the program of a rank: what train runs and predict times.");
  add_job_options(*command, options->job);
  command->add_option("--rank", options->rank, "The rank whose program to print")->capture_default_str();
  command->add_option("--after", options->after,
                      "Stop after this pass: " + fmt::format("{}", fmt::join(pass_names(), ", ")));
  command->add_option("--skip", options->skip, "Leave a pass out");
  command->add_flag("--passes", options->passes, "List the passes with their times on standard error");
  command->add_flag("--check", options->check, "Verify all ranks: races, leaks, mismatched collectives");
  command->add_flag("--json", options->json, "One JSON object: passes, ops, buffers, peak_bytes, text");
  command->footer(
      "Examples:\n"
      "  shardscope lower job.json --rank 1 --after zero\n"
      "  shardscope lower --model gpt2/config.json --deepspeed ds_config.json --ranks 4 --check --passes\n");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
