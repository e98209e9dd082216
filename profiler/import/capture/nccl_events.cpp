#include "profiler/import/capture/nccl_events.h"

#include <fmt/format.h>

#include <algorithm>

#include "profiler/capture/inject/nccl_profiler.h"
#include "profiler/import/names.h"

namespace shardscope {

namespace nccl = capture::nccl;
using capture::record_as;
using capture::RecordHead;
using capture::RecordKind;

namespace {

constexpr std::size_t kMostOpen = 1 << 16;    ///< events that may still get children
constexpr std::size_t kMostJoined = 4 << 20;  ///< kernels and launches kept for joining

bool may_be_parent(std::uint32_t type) {
  constexpr std::uint64_t kParents =
      nccl::kGroup | nccl::kGroupApi | nccl::kCollApi | nccl::kP2pApi | nccl::kKernelCh | nccl::kKernelLaunch;
  return (type & kParents) != 0;
}

bool is_operation(std::uint32_t type) { return (type & (nccl::kColl | nccl::kP2p | nccl::kCeColl)) != 0; }

}  // namespace

NcclEvents::NcclEvents(const capture::CaptureLogReader& reader, ImportWriter& writer, Tally& tally, int rank)
    : reader_(reader), writer_(writer), tally_(tally), rank_(rank) {}

void NcclEvents::take(const RecordHead& head) {
  if (head.kind == RecordKind::kNcclInit) {
    if (const auto* init = record_as<capture::NcclInitRecord>(head)) {
      Communicator& c = communicators_[init->communicator];
      c.name = std::string(reader_.text(init->name));
      c.rank = init->rank;
      c.ranks = init->ranks;
    }
  } else if (head.kind == RecordKind::kNcclStart) {
    if (const auto* record = record_as<capture::NcclStartRecord>(head)) start(*record);
  } else if (const auto* record = record_as<capture::NcclStateRecord>(head)) {
    if (head.kind == RecordKind::kNcclStop) stop(*record);
    if (head.kind == RecordKind::kNcclState && head.small == nccl::kKernelChStop) channel_stopped(*record);
  }
}

void NcclEvents::start(const capture::NcclStartRecord& record) {
  const std::uint32_t type = record.head.small;
  if (may_be_parent(type)) {
    events_[record.handle] = {record.parent, type};
    event_order_.push_back(record.handle);
  }
  if (type == nccl::kKernelLaunch && launches_.size() < kMostJoined) launches_.push_back(outermost(record.parent));
  if (type == nccl::kKernelCh) {
    if (Operation* operation = find(record.parent); operation != nullptr && record.address != 0) {
      const auto began = static_cast<std::int64_t>(record.address);
      operation->first_ns = operation->first_ns == 0 ? began : std::min(operation->first_ns, began);
    }
  }
  if (is_operation(type)) {
    Operation o;
    o.handle = record.handle;
    o.communicator = record.communicator;
    o.function = record.function;
    o.datatype = record.datatype;
    o.algorithm = record.algorithm;
    o.protocol = record.protocol;
    o.count = static_cast<std::int64_t>(record.count);
    o.called_ns = record.head.time_ns;
    o.group = outermost(record.parent);
    if (type == nccl::kP2p) {
      o.peer = record.peer;
    } else {
      o.sequence = static_cast<std::int64_t>(record.sequence);
      o.channels = record.channel;
    }
    if (op_of_group_.size() < kMostJoined) op_of_group_.emplace(o.group, op_of(o));
    operations_[o.handle] = o;
    operation_order_.push_back(o.handle);
  }
  forget_oldest();
}

/// Of operations: all is enqueued. Their time on the device comes by channel,
/// if that was asked for.
void NcclEvents::stop(const capture::NcclStateRecord& record) {
  if (Operation* operation = find(record.handle)) operation->enqueued_ns = record.head.time_ns;
}

void NcclEvents::channel_stopped(const capture::NcclStateRecord& record) {
  const auto channel = events_.find(record.handle);
  if (channel == events_.end() || record.value == 0) return;
  if (Operation* operation = find(channel->second.parent))
    operation->last_ns = std::max(operation->last_ns, static_cast<std::int64_t>(record.value));
}

NcclEvents::Operation* NcclEvents::find(std::uint64_t handle) {
  const auto found = operations_.find(handle);
  return found == operations_.end() ? nullptr : &found->second;
}

std::uint64_t NcclEvents::outermost(std::uint64_t handle) const {
  for (int depth = 0; depth < 8; ++depth) {
    const auto found = events_.find(handle);
    if (found == events_.end() || found->second.parent == 0) break;
    handle = found->second.parent;
  }
  return handle;
}

void NcclEvents::forget_oldest() {
  while (event_order_.size() > kMostOpen) {
    events_.erase(event_order_.front());
    event_order_.pop_front();
  }
  while (operation_order_.size() > kMostOpen) {
    const auto oldest = operations_.find(operation_order_.front());
    if (oldest != operations_.end()) {
      write(oldest->second);
      operations_.erase(oldest);
    }
    operation_order_.pop_front();
  }
}

NcclEvents::Communicator& NcclEvents::communicator(std::uint64_t id) {
  Communicator& c = communicators_[id];
  if (c.name.empty()) c.name = fmt::format("{:016x}", id);
  if (c.track < 0) c.track = writer_.track(rank_, "nccl " + c.name, TrackKind::kOther);
  return c;
}

std::int32_t NcclEvents::op_of(const Operation& o) {
  const Communicator& c = communicator(o.communicator);
  const std::string_view function = reader_.text(o.function);
  const std::string_view kind = collective_kind(function);
  const std::int64_t ranks = std::max<std::int64_t>(c.ranks, 1);
  ForeignCollective collective;
  collective.group = c.name;
  collective.ranks = c.ranks;
  collective.dtype = reader_.text(o.datatype);
  collective.algorithm = reader_.text(o.algorithm);
  collective.protocol = reader_.text(o.protocol);
  // NCCL's count is what a rank gives to a gather, and what it gets of a reduce-scatter.
  const bool sane = o.count >= 0 && o.count < (std::int64_t{1} << 40) && ranks < (1 << 20);
  if (sane) {
    collective.elements_in = kind == "reduce_scatter" ? o.count * ranks : o.count;
    collective.elements_out = kind == "all_gather" ? o.count * ranks : o.count;
    collective.bytes = collective_bytes(collective.elements_in, collective.elements_out, collective.dtype);
  }
  collective.peer = o.peer;
  collective.channels = o.channels;
  return writer_.op(rank_, {.kind = kind.empty() ? "collective" : kind,
                            .name = function,
                            .lane = lane_of_collective(kind),
                            .bytes = collective.bytes,
                            .collective = &collective});
}

void NcclEvents::write(const Operation& o) {
  Communicator& c = communicator(o.communicator);
  const std::int32_t op = op_of(o);
  // The GPU's timer counts from 1970 only as far as the driver says; far off,
  // it is not believed.
  constexpr std::int64_t kMinute = 60'000'000'000;
  const bool on_device = o.first_ns > 0 && o.last_ns > o.first_ns && std::abs(o.first_ns - o.called_ns) < kMinute;
  const std::int64_t begin = on_device ? o.first_ns : o.called_ns;
  const std::int64_t end = on_device ? o.last_ns : std::max(o.enqueued_ns, o.called_ns);
  writer_.slice(rank_, c.track, {op, begin, end - begin});
  ForeignCall call;
  call.op = op;
  if (o.sequence >= 0) call.sequence = o.sequence;
  call.communicator = static_cast<std::int64_t>(o.communicator);
  call.created_ns = o.called_ns;
  if (on_device) call.start_ns = o.first_ns, call.end_ns = o.last_ns;
  call.state = o.enqueued_ns == 0 ? "scheduled" : "completed";
  call.track = c.track;
  writer_.call(rank_, call);
}

void NcclEvents::take_kernel(const capture::KernelRecord& k, std::string_view name, int track) {
  ForeignCollective unknown;
  unknown.algorithm = algorithm_in(name);
  unknown.protocol = protocol_in(name);
  const std::string_view kind = collective_kind(name);
  const ForeignOp op{.kind = kind.empty() ? std::string_view("collective") : kind,
                     .name = name,
                     .lane = lane_of_collective(kind),
                     .collective = &unknown};
  const std::int64_t start = k.head.time_ns, duration = k.end_ns - start;
  const std::int32_t by_name = writer_.op(rank_, op);
  if (kernels_.size() >= kMostJoined) {
    writer_.slice(rank_, track, {by_name, start, duration, k.correlation});
    tally_.nccl_kernel(false);
    return;
  }
  kernels_.push_back({start, duration, k.correlation, by_name, track});
}

void NcclEvents::finish() {
  for (const std::uint64_t handle : operation_order_) {
    if (Operation* operation = find(handle)) write(*operation);
  }
  operations_.clear();
  operation_order_.clear();
  std::sort(kernels_.begin(), kernels_.end(),
            [](const Kernel& a, const Kernel& b) { return a.correlation < b.correlation; });
  const bool joined = launches_.size() == kernels_.size();
  for (std::size_t i = 0; i < kernels_.size(); ++i) {
    const Kernel& k = kernels_[i];
    const auto known = joined ? op_of_group_.find(launches_[i]) : op_of_group_.end();
    tally_.nccl_kernel(known != op_of_group_.end());
    writer_.slice(rank_, k.track,
                  {known != op_of_group_.end() ? known->second : k.kind_op, k.start_ns, k.duration_ns, k.correlation});
  }
  if (!joined && !launches_.empty() && !kernels_.empty()) {
    writer_.diagnostic(rank_, "unjoined_collectives",
                       fmt::format("NCCL reported {} launches, the device ran "
                                   "{} of its kernels: sizes are not known "
                                   "for the kernels",
                                   launches_.size(), kernels_.size()));
  }
}

}  // namespace shardscope
