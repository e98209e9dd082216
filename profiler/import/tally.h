#pragma once
// The counts of report --json, as they add up while a rank's events are read. Formats that cannot have one never touch
// it.
//
//   Tally tally;
//   tally.kernel(name, stream, correlation, dur_ns);   tally.launch(correlation);
//   tally.write(writer, rank);

#include <bitset>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "profiler/import/import_writer.h"

namespace shardscope {

/// Which launches and kernels have the same correlation, in whatever order they come. Those count up nearly without
/// gaps, so a bit for each is enough.
class Correlations {
 public:
  void launch(std::int64_t correlation);
  void kernel(std::int64_t correlation);
  std::int64_t kernels_with_launch() const { return matched_; }
  bool complete() const { return !full_; }  ///< false: too many far apart; not counted to the end

 private:
  static constexpr std::int64_t kPage = 512;
  static constexpr std::size_t kMostPages = 100'000;  ///< 51 million correlations in a row, 17 MB
  struct Page {
    std::bitset<kPage> launched, waiting;
  };
  Page* page(std::int64_t correlation);
  std::unordered_map<std::int64_t, Page> pages_;
  std::unordered_map<std::int64_t, std::int64_t> further_;  ///< of a graph: kernels beyond the first that wait
  std::int64_t matched_ = 0;
  bool full_ = false;
};

class Tally {
 public:
  void event() { ++events_; }
  void kernel(std::string_view name, std::int64_t stream, std::int64_t correlation, std::int64_t duration_ns);
  void nccl_kernel(bool with_arguments);
  void copy(std::int64_t stream, std::int64_t bytes);
  void memset(std::int64_t stream) { add_stream(stream); }
  void runtime_call(std::int64_t correlation);
  void nvtx_range() { ++nvtx_ranges_; }
  void memory_event() { ++memory_events_; }
  /// `has_nvtx`, `has_memory`: the format can have these, so that none is 0.
  void write(ImportWriter& writer, int rank, bool has_nvtx, bool has_memory) const;

 private:
  void add_stream(std::int64_t stream);
  std::int64_t events_ = 0, kernels_ = 0, kernel_ns_ = 0, nccl_ = 0, nccl_with_arguments_ = 0, copies_ = 0,
               copied_bytes_ = 0, runtime_calls_ = 0, nvtx_ranges_ = 0, memory_events_ = 0;
  std::unordered_set<std::uint64_t> names_;  ///< hashes
  std::unordered_set<std::int64_t> streams_;
  Correlations correlations_;
};

}  // namespace shardscope
