#include "profiler/capture/doctor.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "core/error.h"
#include "profiler/capture/recording.h"

namespace shardscope::capture {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kRoomForSpools = std::uint64_t{1} << 30;

/// What a library that we opened is called on disk.
std::string path_of(void* library) {
  link_map* map = nullptr;
  return dlinfo(library, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map != nullptr ? map->l_name : "?";
}

template <class Function>
Function* symbol(void* library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

/// Runs `work` in a child, because libraries of drivers do as they like when loaded; its lines, or a finding that it
/// died.
std::vector<Finding> in_child(const char* what, const std::function<std::vector<Finding>()>& work) {
  int ends[2];
  if (pipe(ends) != 0) return {{Verdict::kBad, what, std::string("cannot be examined: ") + std::strerror(errno)}};
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    std::string text;
    for (const Finding& f : work())
      text += static_cast<char>('0' + static_cast<int>(f.verdict)) + f.what + "\t" + f.text + "\n";
    [[maybe_unused]] const ssize_t written = write(ends[1], text.data(), text.size());
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  std::vector<Finding> findings;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at), tab = text.find('\t', at);
    if (end == std::string::npos || tab == std::string::npos) break;
    findings.push_back(
        {static_cast<Verdict>(text[at] - '0'), text.substr(at + 1, tab - at - 1), text.substr(tab + 1, end - tab - 1)});
    at = end + 1;
  }
  if (!WIFEXITED(status)) findings.push_back({Verdict::kBad, what, "loading it ends the process: it is broken here"});
  return findings;
}

std::vector<Finding> examine_driver() {
  void* cuda = dlopen("libcuda.so.1", RTLD_NOW);
  if (cuda == nullptr)
    return {{Verdict::kBad, "driver", "libcuda.so.1 is not here: no kernels can be recorded; ranges of NVTX can"}};
  auto* version = symbol<int(int*)>(cuda, "cuDriverGetVersion");
  auto* init = symbol<int(unsigned)>(cuda, "cuInit");
  auto* count = symbol<int(int*)>(cuda, "cuDeviceGetCount");
  int number = 0, devices = 0;
  if (version != nullptr) version(&number);
  const int result = init != nullptr ? init(0) : -1;
  if (result != 0) {
    return {{Verdict::kBad, "driver",
             fmt::format(
                 "CUDA {}.{} does not start (cuInit says {}): is there a device, and may this user open /dev/nvidia*?",
                 number / 1000, number % 1000 / 10, result)}};
  }
  if (count != nullptr) count(&devices);
  return {
      {devices > 0 ? Verdict::kGood : Verdict::kBad, "driver",
       fmt::format("CUDA {}.{}, {} device{}", number / 1000, number % 1000 / 10, devices, devices == 1 ? "" : "s")}};
}

std::vector<Finding> examine_cupti() {
  for (const char* name : {"libcupti.so.13", "libcupti.so.12", "libcupti.so",
                           "/usr/local/cuda/extras/CUPTI/lib64/libcupti.so", "/usr/local/cuda/lib64/libcupti.so"}) {
    void* cupti = dlopen(name, RTLD_NOW);
    auto* version = cupti != nullptr ? symbol<int(std::uint32_t*)>(cupti, "cuptiGetVersion") : nullptr;
    if (version == nullptr) continue;
    std::uint32_t number = 0;
    version(&number);
    std::vector<Finding> findings{
        {Verdict::kGood, "cupti",
         fmt::format("version {} in {}; a job that brings its own (as PyTorch does) uses that", number,
                     path_of(cupti))}};
    auto* subscribe = symbol<int(void**, void (*)(), void*)>(cupti, "cuptiSubscribe");
    void* subscriber = nullptr;
    const int result = subscribe != nullptr ? subscribe(
                                                  &subscriber, [] {}, nullptr)
                                            : -1;
    constexpr int kHeld = 39;  // CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED
    if (result == kHeld) {
      findings.push_back(
          {Verdict::kBad, "cupti", "another tool holds it here: nsys, ncu, a sanitizer or a profiler of PyTorch's"});
    }
    if (result != 0 && result != kHeld) {
      findings.push_back(
          {Verdict::kNote, "cupti", fmt::format("cannot be subscribed to here (it says {}): no device", result)});
    }
    return findings;
  }
  return {{Verdict::kNote, "cupti",
           "no libcupti here: jobs that bring their own (PyTorch) can be recorded; for others set SHARDSCOPE_CUPTI"}};
}

std::vector<Finding> examine_nccl() {
  void* nccl = dlopen("libnccl.so.2", RTLD_NOW);
  auto* version = nccl != nullptr ? symbol<int(int*)>(nccl, "ncclGetVersion") : nullptr;
  if (version == nullptr)
    return {{Verdict::kNote, "nccl", "no libnccl.so.2 on the loader's path; PyTorch brings its own"}};
  int number = 0;
  version(&number);
  const int major = number / 10000, minor = number / 100 % 100;
  const bool has_plugins = number >= 22600;
  return {{has_plugins ? Verdict::kGood : Verdict::kBad, "nccl",
           fmt::format("{}.{}.{} in {}{}", major, minor, number % 100, path_of(nccl),
                       has_plugins ? "" : ": older than 2.26, whose plugins are the first that are understood")}};
}

std::vector<Finding> examine_variables() {
  std::vector<Finding> findings;
  for (const std::string& line : Recording::conflicts()) findings.push_back({Verdict::kNote, "variables", line});
  for (const char* name : {"KINETO_USE_DAEMON", "NSYS_PROFILING_SESSION_ID", "NVTX_DISABLE", "NCCL_NVTX_DISABLE",
                           "CUDA_VISIBLE_DEVICES"}) {
    const char* value = std::getenv(name);
    if (value == nullptr) continue;
    const bool hides = std::strcmp(name, "CUDA_VISIBLE_DEVICES") == 0 && *value == '\0';
    findings.push_back({hides ? Verdict::kBad : Verdict::kNote, "variables",
                        fmt::format("{} is set{}", name, hides ? " to nothing: the job sees no device" : "")});
  }
  return findings;
}

/// A child writes through the library, and this process reads it: what a job and `record` do.
Finding try_library(const std::string& library, const std::string& folder) {
  const fs::path spools = fs::path(folder) / fmt::format("shardscope-doctor-{}", getpid());
  std::error_code failed;
  fs::create_directories(spools, failed);
  if (failed) return {Verdict::kBad, "spool", folder + ": " + failed.message()};
  const pid_t child = fork();
  if (child == 0) {
    setenv("SHARDSCOPE_SPOOL", spools.c_str(), 1);
    setenv("SHARDSCOPE_SPOOL_MB", "1", 1);
    void* loaded = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    // The first fields of the newest plugin: a name, and init as NCCL 2.28 calls it.
    struct Plugin {
      const char* name;
      int (*init)(void**, std::uint64_t, int*, const char*, int, int, int, void*);
    };
    auto* plugin = loaded != nullptr ? static_cast<Plugin*>(dlsym(loaded, "ncclProfiler_v5")) : nullptr;
    if (plugin == nullptr) _exit(2);
    void* context = nullptr;
    static int mask = 0;
    plugin->init(&context, 1, &mask, "doctor", 1, 1, 0, nullptr);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::int64_t records = 0;
  for (const std::string& path : list_spools(spools.string()))
    records += SpoolReader(path).poll([](std::uint32_t, const RecordHead&) {});
  fs::remove_all(spools, failed);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return {Verdict::kBad, "library", library + " cannot be loaded into a process here"};
  if (records != 1) return {Verdict::kBad, "library", library + " was loaded and recorded nothing in " + folder};
  return {Verdict::kGood, "library", library + " loads, and what it records arrives"};
}

Finding room(const std::string& folder) {
  struct statvfs status {};
  if (statvfs(folder.c_str(), &status) != 0) return {Verdict::kBad, "spool", folder + ": " + std::strerror(errno)};
  const std::uint64_t free = std::uint64_t{status.f_bavail} * status.f_frsize;
  return {free >= kRoomForSpools ? Verdict::kGood : Verdict::kBad, "spool",
          fmt::format("{:.1f} GB free in {}; each process takes 64 MiB while it runs", static_cast<double>(free) / 1e9,
                      folder)};
}

}  // namespace

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "good";
    case Verdict::kNote:
      return "note";
    case Verdict::kBad:
      break;
  }
  return "bad";
}

std::vector<Finding> examine_machine(const std::string& library, const std::string& folder) {
  std::vector<Finding> all;
  const auto add = [&all](std::vector<Finding> findings) { all.insert(all.end(), findings.begin(), findings.end()); };
  add(in_child("driver", examine_driver));
  add(in_child("cupti", examine_cupti));
  add(in_child("nccl", examine_nccl));
  add(examine_variables());
  all.push_back(room(folder));
  if (library.empty()) {
    all.push_back({Verdict::kBad, "library", "libshardscope-capture.so is not found: this build has none"});
  } else {
    all.push_back(try_library(library, folder));
  }
  return all;
}

std::vector<Finding> examine_process(int pid) {
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  if (!maps) throw Error(ErrorKind::kConfig, fmt::format("process {}: there is none, or it is another user's", pid));
  std::set<std::string> files;
  for (std::string line; std::getline(maps, line);) {
    if (const std::size_t slash = line.find('/'); slash != std::string::npos) files.insert(line.substr(slash));
  }
  const auto named = [&files](const char* part) {
    std::vector<std::string> found;
    for (const std::string& file : files) {
      if (fs::path(file).filename().string().starts_with(part)) found.push_back(file);
    }
    return found;
  };
  std::vector<Finding> all;
  const auto say = [&](const char* part, const char* what, Verdict if_there, const char* there, Verdict if_not,
                       const char* missing) {
    const std::vector<std::string> found = named(part);
    for (const std::string& file : found) all.push_back({if_there, what, file + there});
    if (found.empty() && *missing != '\0') all.push_back({if_not, what, missing});
    return found.size();
  };
  say("libshardscope-capture", "library", Verdict::kGood, " is loaded", Verdict::kBad,
      "our library is not loaded: it was not started by `shardscope record`, or has not come to CUDA, NCCL or NVTX "
      "yet");
  say("libcuda.so", "driver", Verdict::kGood, " is loaded", Verdict::kNote, "CUDA is not loaded: it runs no kernels");
  if (say("libcupti.so", "cupti", Verdict::kGood, " is loaded", Verdict::kNote, "no CUPTI is loaded") > 1)
    all.push_back({Verdict::kBad, "cupti", "two copies of CUPTI are loaded: they fight for the driver"});
  say("libnccl.so", "nccl", Verdict::kGood, " is loaded", Verdict::kNote,
      "NCCL is not loaded, or linked into the program");
  for (const char* tool :
       {"libToolsInjection", "libnvperf_host", "libInterceptorInjection", "libsanitizer-collection", "libkineto"})
    say(tool, "tools", Verdict::kBad, ": another tool that may hold CUPTI", Verdict::kNote, "");
  return all;
}

}  // namespace shardscope::capture
