#include "profiler/import/capture/capture_import.h"

#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "profiler/import/names.h"

namespace shardscope {

using capture::record_as;
using capture::RecordHead;
using capture::RecordKind;

namespace {

constexpr std::size_t kMostOpen = 1 << 16;                       ///< ranges of one kind that were begun and not ended
constexpr std::string_view kSizeField = "Message size [bytes]";  // as NCCL's payloads call it

// CUpti_ActivityMemcpyKind, by number.
constexpr const char* kCopyNames[] = {"copy", "HtoD", "DtoH", "HtoA", "AtoH", "AtoA",
                                      "AtoD", "DtoA", "DtoD", "HtoH", "PtoP"};
// CUpti_ActivitySynchronizationType.
constexpr const char* kSyncNames[] = {"synchronize", "cudaEventSynchronize", "cudaStreamWaitEvent",
                                      "cudaStreamSynchronize", "cudaDeviceSynchronize"};

template <std::size_t N>
const char* name_of(const char* const (&names)[N], std::uint32_t index) {
  return names[index < N ? index : 0];
}

std::string_view lane_of_copy(std::uint32_t kind) {
  if (kind == 1) return "h2d";
  if (kind == 2) return "d2h";
  return "compute";
}

/// "cudaLaunchKernel" of "cudaLaunchKernel_v7000": the version of the interface is CUPTI's business.
std::string_view without_version(std::string_view call) {
  const std::size_t at = call.rfind("_v");
  const bool version = at != std::string_view::npos && at + 2 < call.size() &&
                       call.find_first_not_of("0123456789", at + 2) == std::string_view::npos;
  return version ? call.substr(0, at) : call;
}

constexpr std::int64_t kLastTime = std::int64_t{1} << 61;                ///< the year 2043
constexpr std::int64_t kLongest = std::int64_t{86'400} * 1'000'000'000;  ///< of one kernel or call: a day
constexpr std::uint64_t kLargest = std::uint64_t{1} << 48;               ///< bytes of one copy or allocation

bool is_time(std::int64_t ns) { return ns >= 0 && ns <= kLastTime; }

template <class Record>
bool is_span(const RecordHead& head) {
  const auto* record = record_as<Record>(head);
  return record != nullptr && is_time(record->end_ns) && record->end_ns - head.time_ns <= kLongest;
}

/// Numbers that a sound log can have, so that what follows may add and subtract them.
bool is_sound(const RecordHead& head) {
  if (!is_time(head.time_ns)) return false;
  switch (head.kind) {
    case RecordKind::kStep:
      return record_as<capture::StepRecord>(head) != nullptr && is_time(record_as<capture::StepRecord>(head)->end_ns);
    case RecordKind::kKernel:
    case RecordKind::kGraph:
      return is_span<capture::KernelRecord>(head);
    case RecordKind::kCopy:
      return is_span<capture::CopyRecord>(head) && record_as<capture::CopyRecord>(head)->bytes <= kLargest;
    case RecordKind::kApi:
      return is_span<capture::ApiRecord>(head);
    case RecordKind::kSync:
      return is_span<capture::SyncRecord>(head);
    case RecordKind::kDeviceMemory:
      return record_as<capture::MemoryRecord>(head) != nullptr &&
             record_as<capture::MemoryRecord>(head)->bytes <= kLargest;
    default:
      return true;
  }
}

}  // namespace

CaptureImport::CaptureImport(const capture::CaptureLogReader& reader, ImportWriter& writer, int rank, bool main)
    : reader_(reader), writer_(writer), rank_(rank), main_(main), nccl_(reader, writer, tally_, rank) {}

void CaptureImport::take(std::uint32_t thread, const RecordHead& head) {
  tally_.event();
  if (!is_sound(head)) {
    ++bad_;
    return;
  }
  const auto with = [&]<class Record>(const Record* record, auto method) {
    if (record != nullptr) (this->*method)(*record);
  };
  switch (head.kind) {
    case RecordKind::kRangePush:
    case RecordKind::kRangePop:
    case RecordKind::kRangeStart:
    case RecordKind::kRangeEnd:
    case RecordKind::kMark:
      if (const auto* range = record_as<capture::RangeRecord>(head)) take_range(thread, *range);
      break;
    case RecordKind::kSchemaField:
      with(record_as<capture::SchemaFieldRecord>(head), &CaptureImport::take_schema);
      break;
    case RecordKind::kThreadName:
      if (const auto* name = record_as<capture::NameRecord>(head))
        thread_names_[head.small] = std::string(reader_.text(name->name));
      break;
    case RecordKind::kStep:
      with(record_as<capture::StepRecord>(head), &CaptureImport::take_step);
      break;
    case RecordKind::kExternal:
      with(record_as<capture::ExternalRecord>(head), &CaptureImport::take_external);
      break;
    case RecordKind::kKernel:
    case RecordKind::kGraph:
      with(record_as<capture::KernelRecord>(head), &CaptureImport::take_kernel);
      break;
    case RecordKind::kCopy:
      with(record_as<capture::CopyRecord>(head), &CaptureImport::take_copy);
      break;
    case RecordKind::kApi:
      with(record_as<capture::ApiRecord>(head), &CaptureImport::take_call);
      break;
    case RecordKind::kSync:
      with(record_as<capture::SyncRecord>(head), &CaptureImport::take_sync);
      break;
    case RecordKind::kDeviceMemory:
      with(record_as<capture::MemoryRecord>(head), &CaptureImport::take_memory);
      break;
    case RecordKind::kEnvironment:
      with(record_as<capture::EnvironmentRecord>(head), &CaptureImport::take_environment);
      break;
    case RecordKind::kDevice:
      with(record_as<capture::DeviceRecord>(head), &CaptureImport::take_device);
      break;
    case RecordKind::kGap:
      if (const auto* gap = record_as<capture::GapRecord>(head)) writer_.loss(rank_, "gap", {}, reader_.text(gap->why));
      break;
    default:
      nccl_.take(head);
      break;
  }
}

std::string CaptureImport::track_name(const std::string& name) const {
  return main_ ? name : fmt::format("process {} {}", reader_.facts().pid, name);
}

CaptureImport::ThreadState& CaptureImport::thread_state(std::uint32_t thread) {
  ThreadState& state = threads_[thread];
  if (state.track < 0) {
    const auto name = thread_names_.find(thread);
    const std::string text = name == thread_names_.end() ? fmt::format("thread {}", thread)
                                                         : fmt::format("thread {} {}", thread, name->second);
    state.track = writer_.track(rank_, track_name(text), TrackKind::kHost);
    state.calls = writer_.track(rank_, track_name(text + " CUDA"), TrackKind::kHost);
  }
  return state;
}

void CaptureImport::take_schema(const capture::SchemaFieldRecord& field) {
  if (reader_.text(field.name) == kSizeField && size_offsets_.size() < kMostOpen)
    size_offsets_[{field.domain, field.schema}] = field.offset;
}

/// The size that NCCL's ranges carry, by the layout that it registered.
std::uint64_t CaptureImport::payload_bytes(const capture::RangeRecord& range) {
  const auto offset = size_offsets_.find({range.domain, range.schema});
  std::uint64_t bytes = 0;
  const bool has = offset != size_offsets_.end() && range.head.bytes >= sizeof range + range.payload_bytes &&
                   std::uint64_t{offset->second} + sizeof bytes <= range.payload_bytes;
  if (has) std::memcpy(&bytes, reinterpret_cast<const char*>(&range + 1) + offset->second, sizeof bytes);
  return bytes;
}

void CaptureImport::take_range(std::uint32_t thread, const capture::RangeRecord& range) {
  ThreadState& state = thread_state(thread);
  const Open open{range.name, range.domain, payload_bytes(range), range.head.time_ns};
  switch (range.head.kind) {
    case RecordKind::kRangePush: {
      std::vector<Open>& stack = state.ranges[range.domain];
      if (stack.size() < kMostOpen) stack.push_back(open);
      break;
    }
    case RecordKind::kRangePop: {
      std::vector<Open>& stack = state.ranges[range.domain];
      if (stack.empty()) {
        ++unmatched_;  // pushed before the recording began
        break;
      }
      if (open.payload_bytes != 0) stack.back().payload_bytes = open.payload_bytes;
      add_range(state.track, stack.back(), range.head.time_ns);
      if (range.domain == 0) end_optimizer(stack, range.head.time_ns);
      stack.pop_back();
      break;
    }
    case RecordKind::kRangeStart:
      if (started_.size() < kMostOpen) started_[range.range] = open;
      break;
    case RecordKind::kRangeEnd: {
      const auto found = started_.find(range.range);
      if (found == started_.end()) {
        ++unmatched_;
        break;
      }
      add_range(writer_.track(rank_, track_name("ranges"), TrackKind::kOther), found->second, range.head.time_ns);
      started_.erase(found);
      break;
    }
    default:
      add_range(state.track, open, range.head.time_ns);
      break;  // a mark: no time
  }
}

void CaptureImport::add_range(int track, const Open& open, std::int64_t end_ns) {
  const std::string_view name = reader_.text(open.name), domain = reader_.text(open.domain);
  const std::string full = domain.empty() ? std::string(name) : fmt::format("{}: {}", domain, name);
  const std::int32_t op = writer_.op(rank_, {.kind = "nvtx",
                                             .name = full,
                                             .lane = kHostApiLane,
                                             .bytes = static_cast<std::int64_t>(open.payload_bytes & INT64_MAX)});
  if (writer_.slice(rank_, track, {op, open.start_ns, end_ns - open.start_ns})) tally_.nvtx_range();
  if (domain.empty()) add_step(name, open.start_ns, end_ns);
}

void CaptureImport::add_step(std::string_view name, std::int64_t start_ns, std::int64_t end_ns) {
  std::optional<StepName> step = step_name(name);
  if (!step && is_unnumbered_step(name)) step = StepName{unnumbered_[std::string(name)]++, 1};
  if (step) writer_.step(rank_, step->number, start_ns, end_ns - start_ns, step->priority);
}

/// With nothing better, a step lasts from the end of one optimizer's range to that of the next; not of those within
/// one.
void CaptureImport::end_optimizer(const std::vector<Open>& stack, std::int64_t end_ns) {
  const auto is_optimizer = [&](const Open& open) { return is_optimizer_step(reader_.text(open.name)); };
  if (!is_optimizer(stack.back()) || std::any_of(stack.begin(), stack.end() - 1, is_optimizer)) return;
  if (optimizer_end_ns_ > 0 && end_ns > optimizer_end_ns_)
    writer_.step(rank_, ++optimizer_steps_, optimizer_end_ns_, end_ns - optimizer_end_ns_, 0);
  optimizer_end_ns_ = end_ns;
}

/// What the watched process itself took for its steps is believed before what ranges are called.
void CaptureImport::take_step(const capture::StepRecord& step) {
  constexpr int kOwnPriority = 3;
  const capture::ProcessFacts& facts = reader_.facts();
  const bool chosen = step.number >= facts.first_step && step.number <= facts.last_step;
  if (facts.last_step >= 0 && !chosen) return;
  first_step_ns_ = std::min(first_step_ns_, step.head.time_ns);
  writer_.step(rank_, step.number, step.head.time_ns, step.end_ns - step.head.time_ns, kOwnPriority);
}

int CaptureImport::stream_track(std::uint32_t device, std::uint32_t stream) {
  const auto [found, added] = streams_.try_emplace({device, stream}, -1);
  if (added) {
    found->second =
        writer_.track(rank_, track_name(fmt::format("gpu{} stream {}", device, stream)), TrackKind::kDevice);
  }
  return found->second;
}

std::string_view CaptureImport::readable(std::uint64_t name) {
  const auto [found, added] = readable_.try_emplace(name);
  if (added) {
    const std::string raw(reader_.text(name));
    int status = 0;
    char* text = raw.starts_with("_Z") ? abi::__cxa_demangle(raw.c_str(), nullptr, nullptr, &status) : nullptr;
    found->second = text != nullptr ? text : raw;
    std::free(text);
  }
  return found->second;
}

std::int32_t CaptureImport::kernel_op(const capture::KernelRecord& k) {
  ForeignLaunch launch;
  for (int i = 0; i < 3; ++i) launch.grid[i] = k.grid[i], launch.block[i] = k.block[i];
  launch.registers = k.registers;
  launch.shared_bytes = static_cast<std::int64_t>(k.shared_static) + k.shared_dynamic;
  const bool graph = k.head.kind == RecordKind::kGraph;
  return writer_.op(rank_, {.kind = graph ? "graph" : "kernel",
                            .name = graph ? std::string_view("cudaGraphLaunch") : readable(k.name),
                            .lane = "compute",
                            .launch = graph ? nullptr : &launch});
}

void CaptureImport::take_kernel(const capture::KernelRecord& k) {
  const int track = stream_track(k.device, k.stream);
  const std::string_view name = readable(k.name);
  if (is_nccl_kernel(name)) {
    nccl_.take_kernel(k, name, track);
  } else {
    writer_.slice(rank_, track, {kernel_op(k), k.head.time_ns, k.end_ns - k.head.time_ns, k.correlation});
  }
  if (k.head.kind == RecordKind::kKernel) tally_.kernel(name, k.stream, k.correlation, k.end_ns - k.head.time_ns);
}

void CaptureImport::take_copy(const capture::CopyRecord& copy) {
  const bool set = copy.head.small == 2;
  const auto bytes = static_cast<std::int64_t>(copy.bytes & INT64_MAX);
  const std::int32_t op =
      writer_.op(rank_, {.kind = set ? std::string_view("memset") : std::string_view("copy"),
                         .name = set ? "memset" : name_of(kCopyNames, copy.head.small == 1 ? 10 : copy.copy_kind),
                         .lane = set ? std::string_view("compute") : lane_of_copy(copy.copy_kind),
                         .bytes = bytes});
  writer_.slice(rank_, stream_track(copy.device, copy.stream),
                {op, copy.head.time_ns, copy.end_ns - copy.head.time_ns, copy.correlation});
  if (set) {
    tally_.memset(copy.stream);
  } else {
    tally_.copy(copy.stream, bytes);
  }
}

void CaptureImport::take_call(const capture::ApiRecord& call) {
  const std::int32_t op = writer_.op(rank_, {.kind = call.driver != 0 ? "driver" : "runtime",
                                             .name = without_version(reader_.text(call.name)),
                                             .lane = kHostApiLane});
  writer_.slice(rank_, thread_state(call.thread).calls,
                {op, call.head.time_ns, call.end_ns - call.head.time_ns, call.correlation});
  tally_.runtime_call(call.correlation);
}

void CaptureImport::take_sync(const capture::SyncRecord& sync) {
  const std::int32_t op =
      writer_.op(rank_, {.kind = "sync", .name = name_of(kSyncNames, sync.head.small), .lane = kHostApiLane});
  writer_.slice(rank_, writer_.track(rank_, track_name("synchronization"), TrackKind::kOther),
                {op, sync.head.time_ns, sync.end_ns - sync.head.time_ns, sync.correlation});
}

void CaptureImport::take_memory(const capture::MemoryRecord& memory) {
  constexpr std::uint32_t kOnDevice = 3,
                          kAllocation = 1;  // CUpti_ActivityMemoryKind, ..MemoryOperationType
  if (memory.memory_kind != kOnDevice) return;
  const auto bytes = static_cast<std::int64_t>(memory.bytes & INT64_MAX);
  if (memory.head.small == kAllocation) {
    live_[memory.address] = bytes;
    if (__builtin_add_overflow(live_bytes_, bytes, &live_bytes_)) live_bytes_ = INT64_MAX;
  } else {
    const auto found = live_.find(memory.address);
    if (found == live_.end()) return;  // allocated before the recording began
    live_bytes_ -= found->second;
    live_.erase(found);
  }
  writer_.memory(rank_, memory.head.time_ns, Space::kDevice, Category::kOther, live_bytes_);
  tally_.memory_event();
}

void CaptureImport::take_external(const capture::ExternalRecord& external) {
  // CUpti_ExternalCorrelationKind.
  constexpr const char* kKinds[] = {"unknown", "unknown", "openacc", "custom0", "custom1", "custom2"};
  writer_.external_id(rank_, external.correlation, name_of(kKinds, external.head.small),
                      static_cast<std::int64_t>(external.external));
  writer_.count(rank_, "external_correlations");
}

void CaptureImport::take_environment(const capture::EnvironmentRecord& environment) {
  // By CUpti_ActivityEnvironmentKind, values in the record's order.
  constexpr std::array<std::array<const char*, 5>, 5> kNames = {
      {{},
       {"sm_clock_mhz", "memory_clock_mhz", "pcie_generation", "pcie_width", "throttle_reasons"},
       {"temperature_c"},
       {"power_mw", "power_limit_mw"},
       {"fan_percent"}}};
  const auto& names = kNames[environment.head.small < kNames.size() ? environment.head.small : 0];
  for (std::size_t i = 0; i < names.size() && names[i] != nullptr; ++i)
    writer_.sample(rank_, {environment.device, environment.head.time_ns, names[i], environment.values[i]});
}

void CaptureImport::take_device(const capture::DeviceRecord& device) {
  writer_.device(rank_, {.device = device.head.small,
                         .name = std::string(reader_.text(device.name)),
                         .capability = fmt::format("{}.{}", device.major, device.minor),
                         .memory_bytes = static_cast<std::int64_t>(device.memory_bytes & INT64_MAX),
                         .processors = device.multiprocessors});
}

void CaptureImport::finish() {
  nccl_.finish();
  std::optional<std::int64_t>& origin = writer_.facts(rank_).origin_ns;  // steps may begin before anything is recorded
  if (first_step_ns_ != INT64_MAX) origin = std::min(origin.value_or(INT64_MAX), first_step_ns_);
  if (main_) tally_.write(writer_, rank_, /*has_nvtx=*/true, /*has_memory=*/true);
  const capture::ProcessFacts& facts = reader_.facts();
  const auto lost = [&](const char* what, std::uint64_t count, const char* why) {
    if (count > 0) writer_.loss(rank_, what, static_cast<std::int64_t>(count & INT64_MAX), why);
  };
  lost("records", facts.lost_records, "the spool was full: larger with --spool-mb");
  lost("texts", facts.lost_strings, "more different names than the spool has room for");
  lost("activities", facts.lost_activities, "dropped by CUPTI");
  lost("chunks", facts.overwritten_chunks, "written over by newer records");
  lost("records", static_cast<std::uint64_t>(reader_.damaged()), "damaged in the log");
  lost("records", facts.thinned, "of steps that were not slow");
  lost("records", facts.over_budget, "beyond what the log may hold: more with --budget-mb");
  if (facts.last_step >= 0) {
    writer_.loss(rank_, "steps", {},
                 fmt::format("only steps {} to {} were recorded", facts.first_step, facts.last_step));
  }
  std::int64_t open = static_cast<std::int64_t>(started_.size());
  for (const auto& [thread, state] : threads_)
    for (const auto& [domain, stack] : state.ranges) open += static_cast<std::int64_t>(stack.size());
  if (open > 0) writer_.diagnostic(rank_, "open_ranges", "ranges that were begun and never ended are left out", open);
  if (bad_ > 0)
    writer_.diagnostic(rank_, "bad_event", "records with times or sizes that cannot be were not kept", bad_);
  if (unmatched_ > 0)
    writer_.diagnostic(rank_, "unmatched_ranges", "ends of ranges that began before the recording", unmatched_);
}

}  // namespace shardscope
