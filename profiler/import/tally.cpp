#include "profiler/import/tally.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace shardscope {
namespace {

constexpr std::size_t kMostNames = 200'000, kMostStreams = 100'000;

}  // namespace

Correlations::Page* Correlations::page(std::int64_t correlation) {
  const std::int64_t number = correlation / kPage;
  const auto known = pages_.find(number);
  if (known != pages_.end()) return &known->second;
  full_ = full_ || pages_.size() >= kMostPages;
  return full_ ? nullptr : &pages_[number];
}

void Correlations::launch(std::int64_t correlation) {
  Page* at = correlation <= 0 ? nullptr : page(correlation);
  if (at == nullptr) return;
  const auto bit = static_cast<std::size_t>(correlation % kPage);
  if (!at->launched[bit] && at->waiting[bit]) {
    ++matched_;
    if (const auto more = further_.find(correlation); more != further_.end()) {
      matched_ += more->second;
      further_.erase(more);
    }
  }
  at->launched[bit] = true;
}

void Correlations::kernel(std::int64_t correlation) {
  Page* at = correlation <= 0 ? nullptr : page(correlation);
  if (at == nullptr) return;
  const auto bit = static_cast<std::size_t>(correlation % kPage);
  if (at->launched[bit]) {
    ++matched_;
  } else if (at->waiting[bit]) {
    if (further_.size() < kMostPages || further_.count(correlation) != 0) ++further_[correlation];
  } else {
    at->waiting[bit] = true;
  }
}

void Tally::add_stream(std::int64_t stream) {
  if (streams_.size() < kMostStreams) streams_.insert(stream);
}

void Tally::kernel(std::string_view name, std::int64_t stream, std::int64_t correlation, std::int64_t duration_ns) {
  ++kernels_;
  if (__builtin_add_overflow(kernel_ns_, duration_ns, &kernel_ns_)) kernel_ns_ = INT64_MAX;
  if (names_.size() < kMostNames) names_.insert(XXH3_64bits(name.data(), name.size()));
  add_stream(stream);
  correlations_.kernel(correlation);
}

void Tally::nccl_kernel(bool with_arguments) {
  ++nccl_;
  nccl_with_arguments_ += with_arguments ? 1 : 0;
}

void Tally::copy(std::int64_t stream, std::int64_t bytes) {
  ++copies_;
  if (bytes > 0 && __builtin_add_overflow(copied_bytes_, bytes, &copied_bytes_)) copied_bytes_ = INT64_MAX;
  add_stream(stream);
}

void Tally::runtime_call(std::int64_t correlation) {
  ++runtime_calls_;
  correlations_.launch(correlation);
}

void Tally::write(ImportWriter& writer, int rank, bool has_nvtx, bool has_memory) const {
  const auto set = [&](const char* name, std::int64_t value) { writer.set_count(rank, name, value); };
  set("events", events_);
  set("kernels", kernels_);
  set("kernel_dur_ns", kernel_ns_);
  set("distinct_kernel_names", static_cast<std::int64_t>(names_.size()));
  set("streams", static_cast<std::int64_t>(streams_.size()));
  if (correlations_.complete()) set("kernels_with_launch", correlations_.kernels_with_launch());
  set("nccl_kernels", nccl_);
  set("nccl_with_args", nccl_with_arguments_);
  set("memcpys", copies_);
  set("memcpy_bytes", copied_bytes_);
  set("runtime_calls", runtime_calls_);
  if (has_nvtx) set("nvtx_ranges", nvtx_ranges_);
  if (has_memory) set("memory_events", memory_events_);
}

}  // namespace shardscope
