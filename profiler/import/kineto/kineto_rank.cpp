#include "profiler/import/kineto/kineto_rank.h"

#include <algorithm>
#include <array>

#include "profiler/import/names.h"

namespace shardscope {

enum class KinetoRank::Kind : std::uint8_t {
  kKernel,
  kCopy,
  kMemset,
  kDeviceAnnotation,
  kDeviceOther,  ///< waits of streams, events
  kRuntime,
  kCpuOp,
  kAnnotation,
  kPython,
  kOther
};

namespace {

std::int64_t number_or(std::string_view text, std::int64_t other) { return to_integer(text).value_or(other); }

/// Of a memcpy, by its name: "Memcpy HtoD (Pageable -> Device)"; AMD writes "CopyHostToDevice".
std::string_view copy_lane(std::string_view name) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (has("HtoD") || has("HostToDevice")) return "h2d";
  if (has("DtoH") || has("DeviceToHost")) return "d2h";
  return to_string(Lane::kCompute);
}

}  // namespace

/// 2020 wrote Kernel, Memcpy, Runtime, Operator; 2021 on kernel, gpu_memcpy, cuda_runtime, cpu_op.
KinetoRank::Kind KinetoRank::kind_of(std::string_view category) {
  static constexpr std::pair<std::string_view, Kind> kKinds[] = {{"cpu_op", Kind::kCpuOp},
                                                                 {"python_function", Kind::kPython},
                                                                 {"kernel", Kind::kKernel},
                                                                 {"cuda_runtime", Kind::kRuntime},
                                                                 {"cuda_driver", Kind::kRuntime},
                                                                 {"gpu_memcpy", Kind::kCopy},
                                                                 {"gpu_memset", Kind::kMemset},
                                                                 {"user_annotation", Kind::kAnnotation},
                                                                 {"gpu_user_annotation", Kind::kDeviceAnnotation},
                                                                 {"cuda_sync", Kind::kDeviceOther},
                                                                 {"cuda_event", Kind::kDeviceOther},
                                                                 {"Kernel", Kind::kKernel},
                                                                 {"Memcpy", Kind::kCopy},
                                                                 {"Memset", Kind::kMemset},
                                                                 {"Runtime", Kind::kRuntime},
                                                                 {"Operator", Kind::kCpuOp},
                                                                 {"User_annotation", Kind::kAnnotation},
                                                                 {"hip_runtime", Kind::kRuntime},
                                                                 {"xpu_runtime", Kind::kRuntime},
                                                                 {"xpu_driver", Kind::kRuntime},
                                                                 {"mtia_runtime", Kind::kRuntime},
                                                                 {"privateuse1_runtime", Kind::kRuntime}};
  for (const auto& [name, kind] : kKinds) {
    if (category == name) return kind;
  }
  return Kind::kOther;
}

void KinetoRank::event(const KinetoEvent& event) {
  ++events_;
  tally_.event();
  switch (event.ph.size() == 1 ? event.ph[0] : '?') {
    case 'X':
      return complete(event);
    case 'i':
    case 'I':
      event.name == "[memory]" ? memory(event) : static_cast<void>(++instants_);
      return;
    case 's':
    case 't':
    case 'f':
      if (event.cat != "ac2g" && event.cat != "async" && event.cat != "async_cpu_to_gpu") ++flows_;
      return;
    case 'M':
      return;
    case 'C':
      ++counters_;
      return;
    default:
      ++other_phases_;
  }
}

void KinetoRank::complete(const KinetoEvent& event) {
  const auto start = to_ns(event.ts), duration = event.dur.empty() ? std::optional<std::int64_t>(0) : to_ns(event.dur);
  if (!start || !duration) {
    writer_.diagnostic(rank_, "bad_time", "events without a readable ts and dur were not kept");
    return;
  }
  const Times times{*start, *duration};
  const Kind kind = kind_of(event.cat);
  switch (kind) {
    case Kind::kKernel:
      return kernel(event, times);
    case Kind::kCopy:
    case Kind::kMemset:
      return copy(event, times, kind == Kind::kMemset);
    case Kind::kDeviceAnnotation:
    case Kind::kAnnotation:
      return annotation(event, times, kind == Kind::kDeviceAnnotation);
    default:
      return host(event, times, kind);
  }
}

std::int64_t KinetoRank::stream_of(const KinetoEvent& event) const {
  const std::int64_t device = number_or(event.device.empty() ? event.pid : event.device, 0);
  std::string_view stream = event.stream.empty() ? event.tid : event.stream;
  if (stream.starts_with("stream ")) stream.remove_prefix(7);
  return static_cast<std::int64_t>((static_cast<std::uint64_t>(device) << 40) ^
                                   static_cast<std::uint64_t>(number_or(stream, 0)));
}

/// "gpu0 stream 7", "thread 1234", "thread 1234 python". Looked up by what is written, so that it is rarely built.
int KinetoRank::track(const KinetoEvent& event, Kind kind) {
  const bool on_device = kind <= Kind::kDeviceOther;
  const std::string_view device = on_device && !event.device.empty() ? event.device : event.pid,
                         stream = on_device && !event.stream.empty() ? event.stream : event.tid;
  key_.assign(1, static_cast<char>(kind <= Kind::kMemset ? Kind::kKernel : kind));
  ((key_ += device) += '\0') += stream;
  const auto known = tracks_.find(key_);
  if (known != tracks_.end()) return known->second;
  std::string name;
  std::string_view id = stream;
  for (std::string_view before : {"stream ", "thread "}) {
    if (id.starts_with(before)) id.remove_prefix(before.size());
  }
  if (on_device) {
    name = "gpu" + std::string(device) + " stream " + std::string(id);
  } else if (to_integer(id)) {
    name = "thread " + std::string(id);
  } else {
    name = device.empty() || device == stream ? std::string(id) : std::string(device) + " " + std::string(id);
  }
  if (kind == Kind::kDeviceAnnotation) name += " annotations";
  if (kind == Kind::kDeviceOther) name += " waits";
  if (kind == Kind::kPython) name += " python";
  if (kind == Kind::kOther && to_integer(id)) name += " " + std::string(event.cat);
  const TrackKind track_kind = kind <= Kind::kMemset               ? TrackKind::kDevice
                               : kind == Kind::kOther || on_device ? TrackKind::kOther
                                                                   : TrackKind::kHost;
  const int made = writer_.track(rank_, name, track_kind);
  if (tracks_.size() < 100'000) tracks_.emplace(key_, made);
  return made;
}

bool KinetoRank::add(int track, const ForeignOp& op, const KinetoEvent& event, Times times) {
  return writer_.slice(rank_, track,
                       {writer_.op(rank_, op), times.start_ns, times.duration_ns, number_or(event.correlation, 0)});
}

void KinetoRank::kernel(const KinetoEvent& event, Times times) {
  const std::string_view name = name_of(event);
  const int at = track(event, Kind::kKernel);
  tally_.kernel(name, stream_of(event), number_or(event.correlation, 0), times.duration_ns);
  if (is_nccl_kernel(name) || !event.collective.empty()) {
    tally_.nccl_kernel(!event.collective.empty());
    return collective(event, times, at, name);
  }
  ForeignLaunch launch;
  ForeignOp op{.kind = "kernel", .name = name, .lane = to_string(Lane::kCompute)};
  if (to_triple(event.grid, launch.grid) && to_triple(event.block, launch.block)) {
    launch.registers = number_or(event.registers, -1);
    launch.shared_bytes = number_or(event.shared, -1);
    op.launch = &launch;
  }
  add(at, op, event, times);
}

void KinetoRank::collective(const KinetoEvent& event, Times times, int track, std::string_view name) {
  std::string_view kind = collective_kind(event.collective);
  if (kind.empty()) kind = collective_kind(name);
  if (kind.empty()) kind = "collective";
  ForeignCollective c;
  const bool described = !event.group_description.empty() && event.group_description != "undefined";
  c.group = described ? event.group_description : event.group_name;
  c.description = event.group_description;
  c.group_ranks = event.group_ranks;
  c.ranks = number_or(event.group_size, 0);
  c.dtype = event.dtype;
  c.elements_in = number_or(event.in_elements, -1);
  c.elements_out = number_or(event.out_elements, -1);
  c.bytes = collective_bytes(c.elements_in, c.elements_out, c.dtype);
  if (event.in_split != "[]") c.split_in = event.in_split;
  if (event.out_split != "[]") c.split_out = event.out_split;
  c.algorithm = algorithm_in(name);
  c.protocol = protocol_in(name);
  if (kind == "send") c.peer = number_or(event.target_rank, -1);
  if (kind == "recv") c.peer = number_or(event.source_rank, -1);
  const std::string_view lane = lane_of_collective(kind);
  const ForeignOp op{.kind = kind, .name = name, .lane = lane, .bytes = c.bytes, .collective = &c};
  const std::int32_t index = writer_.op(rank_, op);
  const std::int64_t correlation = number_or(event.correlation, 0);
  if (!writer_.slice(rank_, track, {index, times.start_ns, times.duration_ns, correlation})) return;
  writer_.call(rank_, {.op = index,
                       .sequence = to_integer(event.sequence),
                       .communicator = to_integer(event.communicator),
                       .start_ns = times.start_ns,
                       .end_ns = times.start_ns + times.duration_ns,
                       .track = track});
}

void KinetoRank::copy(const KinetoEvent& event, Times times, bool memset) {
  const std::string_view name = name_of(event);
  const std::int64_t bytes = std::max<std::int64_t>(number_or(event.bytes, 0), 0);
  if (memset) {
    tally_.memset(stream_of(event));
  } else {
    tally_.copy(stream_of(event), bytes);
  }
  add(track(event, Kind::kKernel),
      {.kind = memset ? "memset" : "copy",
       .name = name,
       .lane = memset ? to_string(Lane::kCompute) : copy_lane(name),
       .bytes = bytes},
      event, times);
}

void KinetoRank::host(const KinetoEvent& event, Times times, Kind kind) {
  ForeignOp op{.kind = "cpu_op", .name = name_of(event), .lane = kHostApiLane};
  if (kind == Kind::kRuntime) {
    op.kind = "runtime";
    tally_.runtime_call(number_or(event.correlation, 0));
  } else if (kind == Kind::kPython) {
    op.kind = "python";
  } else if (kind != Kind::kCpuOp) {
    op.kind = event.cat.empty() ? std::string_view("event") : event.cat;
    op.lane = kOtherLane;
  }
  if (op.name.starts_with("ProfilerStep#")) {
    annotation(event, times, false);  // 2020 and 2021 wrote it as an operator
  } else {
    add(track(event, kind), op, event, times);
  }
}

void KinetoRank::annotation(const KinetoEvent& event, Times times, bool on_device) {
  const std::string_view name = name_of(event);
  const Kind kind = on_device ? Kind::kDeviceAnnotation : Kind::kAnnotation;
  // An annotation of a thread lies among its operators, whose track has the kind kCpuOp.
  const bool kept =
      add(track(event, on_device ? kind : Kind::kCpuOp),
          {.kind = "annotation", .name = name, .lane = on_device ? kOtherLane : kHostApiLane}, event, times);
  const auto step = kept ? step_name(name) : std::nullopt;
  if (step) writer_.step(rank_, step->number, times.start_ns, times.duration_ns, step->priority, on_device);
}

/// An allocation (bytes > 0) or a free of the caching allocator.
void KinetoRank::memory(const KinetoEvent& event) {
  const auto time = to_ns(event.ts), bytes = to_integer(event.bytes);
  if (!time || !bytes) {
    writer_.diagnostic(rank_, "bad_memory", "memory events without a readable ts and Bytes were not kept");
    return;
  }
  tally_.memory_event();
  const bool on_host = event.device_type == "0";
  key_.assign(event.device_type);
  (key_ += '\0') += event.device_id;
  std::int64_t& allocated = allocated_[key_];
  std::int64_t& reserved = reserved_[key_];
  const std::int64_t now = std::max<std::int64_t>(0, to_integer(event.total_allocated).value_or(allocated + *bytes));
  std::int64_t& total = on_host ? host_bytes_ : device_bytes_;
  total += now - allocated;
  allocated = now;
  const std::int64_t held = std::max<std::int64_t>(0, number_or(event.total_reserved, reserved));
  if (!on_host) reserved_bytes_ += held - reserved;
  reserved = held;
  if (!on_host) peak_bytes_ = std::max(peak_bytes_, device_bytes_);
  writer_.memory(rank_, *time, on_host ? Space::kHost : Space::kDevice, Category::kOther,
                 std::max<std::int64_t>(0, total));
}

void KinetoRank::finish() {
  tally_.write(writer_, rank_, false, true);
  if (!allocated_.empty()) {
    writer_.set_count(rank_, "peak_traced_bytes", peak_bytes_);
    writer_.set_count(rank_, "allocated_bytes", device_bytes_);
    writer_.set_count(rank_, "reserved_bytes", reserved_bytes_);
  }
  const auto lost = [&](const char* what, std::int64_t count, const char* why) {
    if (count > 0) writer_.loss(rank_, what, count, why);
  };
  lost("flows", flows_, "arrows that are not launches (forward to backward) are not kept");
  lost("instants", instants_, "events without a duration are not kept");
  lost("counters", counters_, "counter events are not kept");
  if (other_phases_ > 0) {
    writer_.diagnostic(rank_, "unknown_phase", "events of a phase that Kineto does not write were not kept",
                       other_phases_);
  }
}

}  // namespace shardscope
