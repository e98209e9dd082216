// shardscope record: runs a job as it is, and records what its processes do on
// GPUs, with NCCL and in NVTX ranges.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/find_library.h"
#include "profiler/capture/recording.h"
#include "profiler/import/import_files.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string out = "run.db", what = "kernels,api,nccl,nvtx,memory", name, steps, control;
  int spool_mb = 64, budget_mb = 512, ring_mb = 0;
  double hang_seconds = 60;
  std::optional<double> slow_percent;
  bool idle = false, keep = false, quiet = false;
  std::vector<std::string> command;
};

constexpr int kPollMicroseconds = 50'000;  ///< with 64 MiB a process: over a GB/s of records
constexpr int kCommandNotFound = 127, kNotExecutable = 126;

void say(const std::string& line) { fmt::print(stderr, "shardscope: {}\n", line); }

std::atomic<pid_t> job{0};
static_assert(std::atomic<pid_t>::is_always_lock_free);

/// What a scheduler sends us is meant for the job; Ctrl-C reaches it by itself,
/// as it is in our terminal.
void pass_on(int signal) {
  if (const pid_t pid = job.load(); pid > 0) kill(pid, signal);
}

/// Starts the command; errors of exec come back through a pipe that a
/// successful exec closes.
pid_t start(const std::vector<std::string>& command, const capture::Recording& recording) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) throw Error(ErrorKind::kIo, std::string("record: ") + std::strerror(errno));
  const auto variables = recording.environment();
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) throw Error(ErrorKind::kIo, std::string("record: fork: ") + std::strerror(errno));
  if (pid == 0) {
    for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
    execvp(arguments[0], arguments.data());
    const int failure = errno;
    [[maybe_unused]] const ssize_t written = write(pipe_ends[1], &failure, sizeof failure);
    _exit(failure == ENOENT ? kCommandNotFound : kNotExecutable);
  }
  close(pipe_ends[1]);
  int failure = 0;
  const bool failed = read(pipe_ends[0], &failure, sizeof failure) == sizeof failure;
  close(pipe_ends[0]);
  if (failed) {
    waitpid(pid, nullptr, 0);
    throw Error(ErrorKind::kConfig, "record: " + command[0] + ": " + std::strerror(failure));
  }
  return pid;
}

std::string run_name(const Options& o) {
  return o.name.empty() ? std::filesystem::path(o.command[0]).filename().string() : o.name;
}

/// What rings hold now becomes a run of its own, while the job goes on.
void dump_rings(const Options& o, capture::Recording& recording, const std::string& what,
                std::vector<std::pair<std::string, std::string>> remarks) {
  const std::string folder = o.out + ".capture/dump";
  try {
    const std::vector<std::string> logs = recording.dump(folder);
    if (logs.empty()) return say("nothing to dump: no process loaded CUDA, NCCL or NVTX yet");
    ImportControl control;
    const ImportResult result = import_files(
        logs, {.out = o.out, .name = run_name(o) + " (" + what + ")", .remarks = std::move(remarks)}, control);
    say(fmt::format("{}: run {} holds what was recorded until now", o.out, result.run));
  } catch (const Error& error) {
    say(error.what());  // the job goes on
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

void look_after(const Options& o, capture::Recording& recording, std::vector<std::string>& hangs) {
  const std::vector<std::string> found = recording.hangs();
  std::vector<std::pair<std::string, std::string>> remarks;
  for (const std::string& hang : found) {
    say(hang);
    hangs.push_back(hang);
    remarks.emplace_back("hang_late", hang);
  }
  if (!found.empty() && o.ring_mb > 0) dump_rings(o, recording, "hang", std::move(remarks));
  if (recording.take_dump_wish()) dump_rings(o, recording, "dump", {});
}

/// Until the job is over; its wait status.
int watch(const Options& o, pid_t pid, capture::Recording& recording, std::vector<std::string>& hangs) {
  job = pid;
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, pass_on);
  std::signal(SIGHUP, pass_on);
  std::signal(SIGXFSZ, SIG_IGN);  // a log that may not grow is an error of write(), as a full disk is
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) != pid) {
    const bool nothing = recording.poll() == 0;
    look_after(o, recording, hangs);
    if (nothing) usleep(kPollMicroseconds);
  }
  job = 0;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
  return status;
}

std::int64_t count_records(const std::vector<capture::RecordedProcess>& processes) {
  std::int64_t records = 0;
  for (const auto& process : processes) records += process.records;
  return records;
}

std::string processes_line(const std::vector<capture::RecordedProcess>& processes) {
  return fmt::format("{} records of {} process{}", count_records(processes), processes.size(),
                     processes.size() == 1 ? "" : "es");
}

/// The job's own exit code, as a shell gives it.
int exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

capture::RecordOptions record_options(const Options& o) {
  capture::RecordOptions options;
  options.library = find_library(kCaptureLibrary);
  options.sources = capture::parse_sources(o.what);
  options.spool_mb = o.ring_mb > 0 ? o.ring_mb : o.spool_mb;
  options.ring = o.ring_mb > 0;
  options.idle = o.idle;
  if (!o.steps.empty()) options.steps = capture::parse_steps(o.steps);
  options.slow_percent = o.slow_percent;
  options.budget_mb = o.budget_mb;
  options.hang_seconds = o.hang_seconds;
  return options;
}

/// False, and said, if it failed: the logs are still there then.
bool import_logs(const Options& o, const capture::Recording& recording, const std::vector<std::string>& logs,
                 const std::vector<std::string>& hangs) {
  ImportControl control;
  ImportOptions import{.out = o.out, .name = run_name(o)};
  for (const std::string& hang : hangs) import.remarks.emplace_back("hang_late", hang);
  try {
    const ImportResult result = import_files(logs, import, control);
    if (!o.quiet) say(fmt::format("{}: {}", o.out, processes_line(recording.processes())));
    for (const std::string& problem : result.problems) say(problem);
    return true;
  } catch (const Error& error) {
    say(fmt::format("{}; `shardscope import {}.capture/*` tries again", error.what(), o.out));
    return false;
  }
}

int run(const Options& o) {
  const std::string folder = o.out + ".capture";
  capture::Recording recording(folder, record_options(o));
  for (const std::string& line : capture::Recording::conflicts()) say(line);
  int status = 0;
  std::vector<std::string> hangs;
  try {
    status = watch(o, start(o.command, recording), recording, hangs);
  } catch (const Error&) {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    throw;
  }
  const std::vector<std::string> logs = recording.finish();
  for (const std::string& problem : recording.problems()) say(problem);
  const std::string remark = recording.remark();
  if (!remark.empty()) say(remark);
  bool imported = true;
  if (logs.empty()) {
    say("nothing was recorded: no process loaded CUDA, NCCL or NVTX; "
        "`shardscope doctor` says what would be loaded");
  } else if (o.idle && count_records(recording.processes()) == 0) {
    if (!o.quiet) say("nothing was recorded: nobody asked for it (shardscope record --control start)");
  } else if (remark.empty()) {
    imported = import_logs(o, recording, logs, hangs);
  }
  std::error_code ignored;
  if (!o.keep && imported) std::filesystem::remove_all(folder, ignored);
  return exit_code(status) != 0 || imported ? exit_code(status) : kRunFailed;
}

/// `wish` as --control has it.
void control(const Options& o) {
  const bool steps = o.control == "steps";
  if (steps && o.steps.empty()) throw Error(ErrorKind::kConfig, "record --control steps: which? --steps 10-20");
  if (steps) capture::parse_steps(o.steps);
  capture::control_recording(o.out + ".capture", steps ? "steps " + o.steps : o.control);
}

}  // namespace

void add_record(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("record", "Run a job as it is and record its GPU work, NCCL and NVTX ranges.");
  command->add_option("-o,--out", options->out, "The profile: made, or a run is added to it")
      ->capture_default_str()
      ->type_name("RUN.db");
  command->add_option("--what", options->what, "Of kernels, api, nccl, proxy, nvtx, memory, graph, sync, environment")
      ->capture_default_str()
      ->type_name("LIST");
  command->add_option("--name", options->name, "Name of the run; the command's if not given");
  command->add_option("--spool-mb", options->spool_mb, "Room for what was not yet read, of each process")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_option("--steps", options->steps, "Record only these steps of each process, e.g. 10-20")
      ->type_name("N-M");
  command->add_flag("--idle", options->idle, "Record nothing until --control start");
  CLI::Option* slow = command->add_option("--slow-steps", options->slow_percent,
                                          "Keep the details only of steps that take PERCENT longer than usual");
  slow->check(in_range(0, 1000))->type_name("PERCENT");
  command->add_option("--budget-mb", options->budget_mb, "With --slow-steps: at most so much of each process")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->needs(slow);
  command
      ->add_option("--ring-mb", options->ring_mb,
                   "Flight recorder: keep only the newest MB of each process, for its end, a hang, or --control dump")
      ->check(CLI::Range(2, 65536))
      ->excludes(slow);
  command
      ->add_option("--hang-seconds", options->hang_seconds,
                   "Say which rank is late when others have waited so long in a collective; 0: never")
      ->check(in_range(0, 86400))
      ->capture_default_str();
  CLI::Option* wish = command->add_option("--control", options->control,
                                          "Of a recording under way (-o says which): start, stop, dump, steps");
  wish->check(CLI::IsMember({"start", "stop", "dump", "steps"}))->type_name("WISH");
  command->add_flag("--keep", options->keep, "Keep what was read from the processes, in RUN.db.capture");
  command->add_flag("--quiet", options->quiet, "Say only what went wrong");
  command->add_option("command", options->command, "What to run, after --")->type_name("-- COMMAND...")->excludes(wish);
  command->footer(
      "Examples:\n"
      "  shardscope record -o run.db -- torchrun --nproc-per-node 8 train.py\n"
      "  shardscope record --what nccl,nvtx -- deepspeed train.py --deepspeed "
      "ds_config.json\n"
      "  shardscope record --what kernels,nccl,proxy -- python3 train.py   # "
      "NCCL's time by channel, too: costs more\n"
      "  shardscope record --steps 100-110 -- torchrun ... train.py\n"
      "  shardscope record --idle -o run.db -- torchrun ... train.py        # then, from another terminal:\n"
      "  shardscope record --control start -o run.db                        # ... and stop, dump, steps --steps 10-20\n"
      "  shardscope record --slow-steps 20 -- torchrun ... train.py         # always on: details of slow steps only\n"
      "  shardscope record --ring-mb 64 -- torchrun ... train.py            # flight recorder; hangs name the late "
      "rank\n"
      "The job's exit code is ours. Nothing of its environment is stored. What "
      "can go wrong: shardscope doctor.");
  command->callback([options, &exit_code] {
    if (!options->control.empty()) {
      control(*options);
      exit_code = kDone;
      return;
    }
    if (options->command.empty()) throw Error(ErrorKind::kConfig, "record: no command; it is given after --");
    exit_code = run(*options);
  });
}

}  // namespace shardscope::cli
