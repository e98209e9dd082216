#include "profiler/capture/recording.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "core/error.h"

namespace shardscope::capture {

namespace {

struct SourceName {
  const char* name;
  std::uint32_t bits;
};

constexpr SourceName kNames[] = {{"kernels", kSourceKernels},  {"api", kSourceApi},
                                 {"nccl", kSourceNccl},        {"proxy", kSourceNcclProxy | kSourceNccl},
                                 {"nvtx", kSourceNvtx},        {"memory", kSourceMemory},
                                 {"graph", kSourceGraphNodes}, {"sync", kSourceSync}};

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

struct Recording::Watched {
  Watched(const std::string& spool, const std::string& log_path)
      : reader(spool), log(log_path, reader.header()), path(log_path) {}
  SpoolReader reader;
  CaptureLog log;
  std::string path;
};

Recording::Recording(std::string folder, RecordOptions options)
    : folder_(std::move(folder)), options_(std::move(options)) {
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
  variables.emplace_back("SHARDSCOPE_SOURCES", std::to_string(options_.sources));
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
      watched_[path] = std::make_unique<Watched>(path, log);
    } catch (const Error& error) {
      watched_[path] = nullptr;  // not asked again
      problems_.emplace_back(error.what());
    }
  }
}

std::int64_t Recording::poll() {
  find_processes();
  std::int64_t count = 0;
  for (auto& [path, process] : watched_) {
    if (process == nullptr) continue;
    count += process->log.add(process->reader);
  }
  return count;
}

std::vector<std::string> Recording::finish() {
  find_processes();
  std::vector<std::pair<std::int64_t, std::string>> logs;
  for (auto& [path, process] : watched_) {
    if (process == nullptr) continue;
    process->log.add(process->reader);
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

}  // namespace shardscope::capture
