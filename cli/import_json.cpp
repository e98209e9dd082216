#include "cli/import_json.h"

#include "profiler/query/import_facts.h"

namespace shardscope::cli {
namespace {

using nlohmann::json;

constexpr const char* kCounts[] = {
    "events",        "kernels",        "kernel_dur_ns", "distinct_kernel_names", "streams",       "kernels_with_launch",
    "nccl_kernels",  "nccl_with_args", "memcpys",       "memcpy_bytes",          "runtime_calls", "nvtx_ranges",
    "memory_events", "segments"};
constexpr const char* kMemory[] = {"peak_traced_bytes", "allocated_bytes", "reserved_bytes"};

json or_null(const std::string& text) { return text.empty() ? json(nullptr) : json(text); }
json or_null(const std::optional<std::int64_t>& value) { return value ? json(*value) : json(nullptr); }

template <std::size_t N>
json picked(const std::map<std::string, std::int64_t>& counts, const char* const (&names)[N]) {
  json object;
  for (const char* name : names) {
    const auto found = counts.find(name);
    object[name] = found == counts.end() ? json(nullptr) : json(found->second);
  }
  return object;
}

json file_json(const ImportedFile& file) {
  return {{"file", file.file},
          {"source", {{"format", file.format}, {"tool", or_null(file.tool)}, {"version", or_null(file.version)}}},
          {"rank", or_null(file.said_rank)},
          {"stored_rank", file.rank},
          {"world", or_null(file.world)},
          {"counts", picked(file.counts, kCounts)},
          {"memory", picked(file.counts, kMemory)},
          {"first_ns", or_null(file.first_ns)},
          {"last_ns", or_null(file.last_ns)},
          {"base_ns", or_null(file.base_ns)}};
}

/// Adds `more` to `sum` where both are numbers.
void add_up(json& sum, const json& more) {
  for (auto& [key, value] : sum.items()) {
    const json& other = more.at(key);
    if (value.is_number() && other.is_number()) {
      value = value.get<std::int64_t>() + other.get<std::int64_t>();
    } else if (value.is_null()) {
      value = other;
    }
  }
}

/// All files of a run as one; a fact in which they differ is null.
json sum_of(const std::vector<ImportedFile>& files) {
  json sum = file_json(files.front());
  for (std::size_t i = 1; i < files.size(); ++i) {
    const json more = file_json(files[i]);
    add_up(sum["counts"], more["counts"]);
    add_up(sum["memory"], more["memory"]);
    for (const char* key : {"rank", "stored_rank", "file", "source", "first_ns", "last_ns", "base_ns", "world"}) {
      if (sum[key] != more[key]) sum[key] = nullptr;
    }
  }
  return sum;
}

}  // namespace

nlohmann::json import_json(const Profile& profile, std::int64_t run) {
  const std::vector<ImportedFile> files = imported_files(profile, run);
  if (files.empty()) return nullptr;
  json all = sum_of(files);
  if (files.size() > 1) {
    for (const ImportedFile& file : files) all["files"].push_back(file_json(file));
  }
  all["diagnostics"] = json::array();
  for (const Diagnostic& d : diagnostics(profile, run))
    all["diagnostics"].push_back({{"what", d.kind}, {"count", d.count}, {"rank", d.rank}, {"text", d.text}});
  return all;
}

}  // namespace shardscope::cli
