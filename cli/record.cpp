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

#include "cli/capture_library.h"
#include "cli/command.h"
#include "profiler/capture/recording.h"
#include "profiler/import/import_files.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string out = "run.db", what = "kernels,api,nccl,nvtx,memory", name;
  int spool_mb = 64;
  bool keep = false, quiet = false;
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

/// Until the job is over; its wait status.
int watch(pid_t pid, capture::Recording& recording) {
  job = pid;
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, pass_on);
  std::signal(SIGHUP, pass_on);
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) != pid) {
    if (recording.poll() == 0) usleep(kPollMicroseconds);
  }
  job = 0;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
  return status;
}

std::string processes_line(const std::vector<capture::RecordedProcess>& processes) {
  std::int64_t records = 0;
  for (const auto& process : processes) records += process.records;
  return fmt::format("{} records of {} process{}", records, processes.size(), processes.size() == 1 ? "" : "es");
}

/// The job's own exit code, as a shell gives it.
int exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

int run(const Options& o) {
  capture::RecordOptions options;
  options.library = find_capture_library();
  options.sources = capture::parse_sources(o.what);
  options.spool_mb = o.spool_mb;
  const std::string folder = o.out + ".capture";
  capture::Recording recording(folder, options);
  for (const std::string& line : capture::Recording::conflicts()) say(line);
  int status = 0;
  try {
    status = watch(start(o.command, recording), recording);
  } catch (const Error&) {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    throw;
  }
  const std::vector<std::string> logs = recording.finish();
  for (const std::string& problem : recording.problems()) say(problem);
  if (logs.empty()) {
    say("nothing was recorded: no process loaded CUDA, NCCL or NVTX; "
        "`shardscope doctor` says what would be loaded");
  } else {
    ImportControl control;
    const std::string name = o.name.empty() ? std::filesystem::path(o.command[0]).filename().string() : o.name;
    const ImportResult result = import_files(logs, {.out = o.out, .name = name}, control);
    if (!o.quiet) say(fmt::format("{}: {}", o.out, processes_line(recording.processes())));
    for (const std::string& problem : result.problems) say(problem);
  }
  std::error_code ignored;
  if (!o.keep) std::filesystem::remove_all(folder, ignored);
  return exit_code(status);
}

}  // namespace

void add_record(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("record", "Run a job as it is and record its GPU work, NCCL and NVTX ranges.");
  command->add_option("-o,--out", options->out, "The profile: made, or a run is added to it")
      ->capture_default_str()
      ->type_name("RUN.db");
  command->add_option("--what", options->what, "Of kernels, api, nccl, proxy, nvtx, memory, graph, sync")
      ->capture_default_str()
      ->type_name("LIST");
  command->add_option("--name", options->name, "Name of the run; the command's if not given");
  command->add_option("--spool-mb", options->spool_mb, "Room for what was not yet read, of each process")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_flag("--keep", options->keep, "Keep what was read from the processes, in RUN.db.capture");
  command->add_flag("--quiet", options->quiet, "Say only what went wrong");
  command->add_option("command", options->command, "What to run, after --")->required()->type_name("-- COMMAND...");
  command->footer(
      "Examples:\n"
      "  shardscope record -o run.db -- torchrun --nproc-per-node 8 train.py\n"
      "  shardscope record --what nccl,nvtx -- deepspeed train.py --deepspeed "
      "ds_config.json\n"
      "  shardscope record --what kernels,nccl,proxy -- python3 train.py   # "
      "NCCL's time by channel, too: costs more\n"
      "The job's exit code is ours. Nothing of its environment is stored. What "
      "can go wrong: shardscope doctor.");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace shardscope::cli
