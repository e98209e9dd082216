#include "profiler/capture/recording.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/error.h"

namespace shardscope::capture {

namespace {

struct SourceName {
  const char* name;
  std::uint32_t bits;
};

constexpr SourceName kNames[] = {{"kernels", kSourceKernels},
                                 {"api", kSourceApi},
                                 {"nccl", kSourceNccl},
                                 {"proxy", kSourceNcclProxy | kSourceNccl},
                                 {"nvtx", kSourceNvtx},
                                 {"memory", kSourceMemory},
                                 {"graph", kSourceGraphNodes},
                                 {"sync", kSourceSync},
                                 {"environment", kSourceEnvironment}};

constexpr const char* kControlFile = "control";
constexpr std::string_view kStepsWish = "steps ";

std::int64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

constexpr const char* kInjectionVariables[] = {"CUDA_INJECTION64_PATH", "NVTX_INJECTION64_PATH",
                                               "NCCL_PROFILER_PLUGIN"};

}  // namespace

std::uint32_t parse_sources(const std::string& text) {
  std::uint32_t bits = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string word = text.substr(at, comma - at);
    const auto* found =
        std::find_if(std::begin(kNames), std::end(kNames), [&](const SourceName& n) { return word == n.name; });
    if (found == std::end(kNames)) {
      std::string known;
      for (const SourceName& n : kNames) known += std::string(known.empty() ? "" : ", ") + n.name;
      throw Error(ErrorKind::kConfig, "--what is '" + text + "'; '" + word + "' is none of " + known);
    }
    bits |= found->bits;
    at = comma + 1;
  }
  return bits;
}

Steps parse_steps(const std::string& text) {
  Steps steps;
  const char* const end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, steps.first);
  steps.last = steps.first;
  if (error == std::errc() && at < end && *at == '-') {
    const auto second = std::from_chars(at + 1, end, steps.last);
    at = second.ptr, error = second.ec;
  }
  if (error != std::errc() || at != end || steps.first < 0 || steps.last < steps.first)
    throw Error(ErrorKind::kConfig, "steps are '" + text + "'; they are given as 10-20, or 7");
  return steps;
}

struct Recording::Watched {
  Watched(const std::string& spool, const std::string& log_path)
      : reader(spool), log(log_path, reader.header()), path(log_path) {}
  SpoolReader reader;
  CaptureLog log;
  std::string path;
};

Recording::Recording(std::string folder, RecordOptions options)
    : folder_(std::move(folder)), options_(std::move(options)), on_(!options_.idle), hangs_(options_.hang_seconds) {
  std::error_code failed;
  std::filesystem::create_directories(folder_, failed);
  if (failed) throw Error(ErrorKind::kIo, folder_ + ": " + failed.message());
  if (!std::filesystem::is_empty(folder_, failed)) {
    throw Error(ErrorKind::kConfig, folder_ + ": holds an earlier recording; `shardscope import " + folder_ +
                                        "/*` finishes it, or remove it");
  }
  folder_ = std::filesystem::absolute(folder_).string();
}

Recording::~Recording() = default;

std::vector<std::pair<std::string, std::string>> Recording::environment() const {
  std::vector<std::pair<std::string, std::string>> variables;
  for (const char* name : kInjectionVariables) variables.emplace_back(name, options_.library);
  variables.emplace_back("SHARDSCOPE_SPOOL", folder_);
  variables.emplace_back("SHARDSCOPE_SPOOL_MB", std::to_string(options_.spool_mb));
  variables.emplace_back("SHARDSCOPE_SOURCES", std::to_string(options_.idle ? 0 : options_.sources));
  if (options_.ring) variables.emplace_back("SHARDSCOPE_RING", "1");
  if (options_.slow_percent) variables.emplace_back("SHARDSCOPE_WATCH_STEPS", "1");
  if (options_.steps) {
    variables.emplace_back("SHARDSCOPE_STEPS",
                           std::to_string(options_.steps->first) + "-" + std::to_string(options_.steps->last));
  }
  return variables;
}

std::vector<std::string> Recording::conflicts() {
  std::vector<std::string> lines;
  for (const char* name : kInjectionVariables) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0')
      lines.push_back(std::string(name) + " is set already; what it names is not loaded into the recorded job");
  }
  return lines;
}

void Recording::find_processes() {
  for (const std::string& path : list_spools(folder_)) {
    if (watched_.contains(path)) continue;
    const std::string log = path.substr(0, path.size() - std::string(".spool").size()) + ".capture";
    try {
      auto& process = watched_[path] = std::make_unique<Watched>(path, log);
      if (options_.slow_percent)
        process->log.keep_slow_steps(*options_.slow_percent, std::int64_t{options_.budget_mb} << 20);
      if (controlled_) apply(process->reader.header());
    } catch (const Error& error) {
      watched_[path] = nullptr;  // not asked again
      problems_.emplace_back(error.what());
    }
  }
}

void Recording::apply(SpoolHeader& header) const {
  header.wanted.store(options_.sources);
  if (options_.steps) {
    header.first_step.store(options_.steps->first);
    header.last_step.store(options_.steps->last);
    header.watch_steps.store(1);
    const std::int64_t step = header.step.load();
    if (step < options_.steps->first || step > options_.steps->last) header.enabled.store(0);
  } else {
    header.last_step.store(-1);
    header.enabled.store(on_ ? options_.sources : 0);
  }
}

void Recording::read_control() {
  const std::filesystem::path file = std::filesystem::path(folder_) / kControlFile;
  std::ifstream in(file);
  std::string wish;
  if (!std::getline(in, wish)) return;
  std::error_code ignored;
  std::filesystem::remove(file, ignored);  // the answer
  std::optional<Steps> steps;
  try {
    if (wish.starts_with(kStepsWish)) steps = parse_steps(wish.substr(kStepsWish.size()));
  } catch (const Error& error) {
    problems_.emplace_back(error.what());
    return;
  }
  if (wish == "dump") dump_wished_ = true;
  if (!steps && wish != "start" && wish != "stop") {
    if (wish != "dump") problems_.push_back(file.string() + ": '" + wish + "' is none of start, stop, dump, steps N-M");
    return;
  }
  on_ = wish != "stop";
  options_.steps = steps;
  controlled_ = true;
  hangs_.forget();
  for (auto& [path, process] : watched_) {
    if (process != nullptr) apply(process->reader.header());
  }
}

std::int64_t Recording::poll() {
  find_processes();
  read_control();
  // Where collectives are recorded now and then, nobody can say who entered which.
  const bool always = options_.hang_seconds > 0 && !options_.idle && !options_.steps && !controlled_;
  std::int64_t count = 0;
  int number = 0;
  for (auto& [path, process] : watched_) {
    ++number;
    if (process == nullptr) continue;
    SpoolReader::Visit also;
    if (always) {
      also = [this, number, &process = *process](std::uint32_t thread, const RecordHead& head) {
        hangs_.take(number, thread, head, process.reader);
      };
    }
    if (options_.ring) {
      process->log.add_identities(process->reader, also);
    } else {
      count += process->log.add(process->reader, also);
    }
  }
  return count;
}

std::vector<std::string> Recording::hangs() { return hangs_.look(now_ns()); }

std::vector<std::string> Recording::dump(const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  std::vector<std::string> links;
  for (auto& [path, process] : watched_) {
    if (process == nullptr) continue;
    process->log.add(process->reader);
    const auto link = std::filesystem::path(folder) / std::filesystem::path(process->path).filename();
    std::filesystem::create_hard_link(process->path, link, failed);
    if (failed) problems_.push_back(link.string() + ": " + failed.message());
    if (!failed) links.push_back(link.string());
  }
  return links;
}

std::string Recording::remark() const {
  if ((!options_.steps && !options_.slow_percent) || watched_.empty()) return "";
  std::int64_t newest = -1;
  for (const auto& [path, process] : watched_) {
    if (process != nullptr) newest = std::max(newest, process->reader.header().step.load());
  }
  if (newest < 0) {
    return "no steps were seen, so nothing of them was recorded: the job has no NVTX ranges called \"step 3\", "
           "\"iteration 3\", \"train_step\" or the like, nor optimizers' (torch.autograd.profiler.emit_nvtx() makes "
           "them)";
  }
  if (!options_.steps || newest >= options_.steps->first) return "";
  return "the job ended before step " + std::to_string(options_.steps->first) +
         ", so nothing was recorded; its last was " + std::to_string(newest);
}

std::vector<std::string> Recording::finish() {
  find_processes();
  std::vector<std::pair<std::int64_t, std::string>> logs;
  for (auto& [path, process] : watched_) {
    if (process == nullptr) continue;
    process->log.add_rest(process->reader);
    if (!process->log.problem().empty()) problems_.push_back(process->log.problem());
    logs.emplace_back(process->reader.header().started_ns, process->path);
    unlink(path.c_str());  // a process that still lives goes on writing into it, for nobody
  }
  std::sort(logs.begin(), logs.end());
  std::vector<std::string> paths;
  for (auto& [time, path] : logs) paths.push_back(std::move(path));
  return paths;
}

std::vector<RecordedProcess> Recording::processes() const {
  std::vector<RecordedProcess> all;
  for (const auto& [path, process] : watched_) {
    if (process == nullptr) continue;
    all.push_back({facts_of(process->reader.header()), process->path, process->log.records()});
  }
  return all;
}

std::vector<std::string> Recording::problems() const { return problems_; }

void control_recording(const std::string& folder, const std::string& wish) {
  const std::filesystem::path file = std::filesystem::path(folder) / kControlFile, part = file.string() + ".part";
  std::ofstream(part) << wish << "\n";
  std::error_code failed;
  std::filesystem::rename(part, file, failed);
  if (failed) throw Error(ErrorKind::kConfig, folder + ": no recording goes on there");
  constexpr int kTries = 100;  // of 50 ms: whoever records looks twenty times a second
  for (int i = 0; i < kTries; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (!std::filesystem::exists(file)) return;
  }
  std::filesystem::remove(file, failed);
  throw Error(ErrorKind::kConfig,
              folder + ": whoever recorded there does not any more; `shardscope import " + folder + "/*` finishes it");
}

}  // namespace shardscope::capture
