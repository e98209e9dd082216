#include "profiler/capture/inject/cupti_decode.h"

namespace shardscope::capture {

namespace {

// Fields are read through the structs of CUPTI 13.0. Those of 12.x are prefixes of them up to what is read here, except
// where CUPTI says otherwise in cupti_activity.h; older versions are not asked (cupti_capture.cpp).

std::int64_t time_of(std::uint64_t ns) { return static_cast<std::int64_t>(ns); }

std::uint64_t text_id(Spool& spool, const char* text) { return text != nullptr ? spool.intern(text) : 0; }

bool write_kernel(Spool& spool, const CUpti_ActivityKernel10& k, const DecodeCalls& calls) {
  const std::uint64_t name = text_id(spool, calls.text(k.name));
  auto* r = spool.begin<KernelRecord>(RecordKind::kKernel);
  if (r == nullptr) return false;
  r->head.time_ns = time_of(k.start);
  r->end_ns = time_of(k.end);
  r->name = name;
  r->correlation = k.correlationId;
  r->device = k.deviceId;
  r->context = k.contextId;
  r->stream = k.streamId;
  r->grid[0] = k.gridX, r->grid[1] = k.gridY, r->grid[2] = k.gridZ;
  r->block[0] = k.blockX, r->block[1] = k.blockY, r->block[2] = k.blockZ;
  r->registers = k.registersPerThread;
  r->shared_static = static_cast<std::uint32_t>(k.staticSharedMemory);
  r->shared_dynamic = static_cast<std::uint32_t>(k.dynamicSharedMemory);
  r->graph = k.graphId;
  r->graph_node = k.graphNodeId;
  spool.commit(r);
  return true;
}

bool write_graph(Spool& spool, const CUpti_ActivityGraphTrace2& g) {
  const std::uint64_t name = spool.intern("cudaGraph");
  auto* r = spool.begin<KernelRecord>(RecordKind::kGraph);
  if (r == nullptr) return false;
  r->head.time_ns = time_of(g.start);
  r->end_ns = time_of(g.end);
  r->name = name;
  r->correlation = g.correlationId;
  r->device = g.deviceId;
  r->context = g.contextId;
  r->stream = g.streamId;
  r->graph = g.graphId;
  spool.commit(r);
  return true;
}

/// Copies, copies between devices and memsets have the same fields for what is kept.
template <class Activity>
CopyRecord* begin_copy(Spool& spool, const Activity& a, std::uint32_t what) {
  auto* r = spool.begin<CopyRecord>(RecordKind::kCopy);
  if (r == nullptr) return nullptr;
  r->head.small = what;
  r->head.time_ns = time_of(a.start);
  r->end_ns = time_of(a.end);
  r->bytes = a.bytes;
  r->correlation = a.correlationId;
  r->device = a.deviceId;
  r->context = a.contextId;
  r->stream = a.streamId;
  r->graph = a.graphId;
  r->graph_node = a.graphNodeId;
  return r;
}

template <class Copy>
bool write_copy(Spool& spool, const Copy& copy, std::uint32_t what) {
  CopyRecord* r = begin_copy(spool, copy, what);
  if (r == nullptr) return false;
  r->copy_kind = copy.copyKind;
  r->source_kind = copy.srcKind;
  r->target_kind = copy.dstKind;
  spool.commit(r);
  return true;
}

bool write_memset(Spool& spool, const CUpti_ActivityMemset4& memset) {
  CopyRecord* r = begin_copy(spool, memset, 2);
  if (r == nullptr) return false;
  r->target_kind = memset.memoryKind;
  spool.commit(r);
  return true;
}

bool write_call(Spool& spool, const CUpti_ActivityAPI& a, const DecodeCalls& calls) {
  const bool driver = a.kind == CUPTI_ACTIVITY_KIND_DRIVER;
  const std::uint64_t name = text_id(spool, calls.call_name(driver, a.cbid));
  auto* r = spool.begin<ApiRecord>(RecordKind::kApi);
  if (r == nullptr) return false;
  r->head.small = a.cbid;
  r->head.time_ns = time_of(a.start);
  r->end_ns = time_of(a.end);
  r->name = name;
  r->correlation = a.correlationId;
  r->thread = a.threadId;
  r->result = static_cast<std::int32_t>(a.returnValue);
  r->driver = driver ? 1 : 0;
  spool.commit(r);
  return true;
}

bool write_sync(Spool& spool, const CUpti_ActivitySynchronization2& s) {
  auto* r = spool.begin<SyncRecord>(RecordKind::kSync);
  if (r == nullptr) return false;
  r->head.small = static_cast<std::uint32_t>(s.type);
  r->head.time_ns = time_of(s.start);
  r->end_ns = time_of(s.end);
  r->correlation = s.correlationId;
  r->context = s.contextId;
  r->stream = s.streamId;
  r->event = s.cudaEventId;
  spool.commit(r);
  return true;
}

bool write_memory(Spool& spool, const CUpti_ActivityMemory4& m) {
  auto* r = spool.begin<MemoryRecord>(RecordKind::kDeviceMemory);
  if (r == nullptr) return false;
  r->head.small = static_cast<std::uint32_t>(m.memoryOperationType);
  r->head.time_ns = time_of(m.timestamp);
  r->address = m.address;
  r->bytes = m.bytes;
  r->memory_kind = static_cast<std::uint32_t>(m.memoryKind);
  r->device = m.deviceId;
  r->context = m.contextId;
  spool.commit(r);
  return true;
}

bool write_external(Spool& spool, const CUpti_ActivityExternalCorrelation& e) {
  auto* r = spool.begin<ExternalRecord>(RecordKind::kExternal);
  if (r == nullptr) return false;
  r->head.small = static_cast<std::uint32_t>(e.externalKind);
  r->external = e.externalId;
  r->correlation = e.correlationId;
  spool.commit(r);
  return true;
}

bool write_environment(Spool& spool, const CUpti_ActivityEnvironment& e) {
  auto* r = spool.begin<EnvironmentRecord>(RecordKind::kEnvironment);
  if (r == nullptr) return false;
  r->head.small = static_cast<std::uint32_t>(e.environmentKind);
  r->head.time_ns = time_of(e.timestamp);
  r->device = e.deviceId;
  switch (e.environmentKind) {
    case CUPTI_ACTIVITY_ENVIRONMENT_SPEED:
      r->values[0] = e.data.speed.smClock, r->values[1] = e.data.speed.memoryClock;
      r->values[2] = e.data.speed.pcieLinkGen, r->values[3] = e.data.speed.pcieLinkWidth;
      r->values[4] = static_cast<std::uint32_t>(e.data.speed.clocksThrottleReasons);
      break;
    case CUPTI_ACTIVITY_ENVIRONMENT_TEMPERATURE:
      r->values[0] = e.data.temperature.gpuTemperature;
      break;
    case CUPTI_ACTIVITY_ENVIRONMENT_POWER:
      r->values[0] = e.data.power.power, r->values[1] = e.data.power.powerLimit;
      break;
    case CUPTI_ACTIVITY_ENVIRONMENT_COOLING:
      r->values[0] = e.data.cooling.fanSpeed;
      break;
    default:
      break;
  }
  spool.commit(r);
  return true;
}

bool write_device(Spool& spool, const CUpti_ActivityDevice5& d, const DecodeCalls& calls) {
  const std::uint64_t name = text_id(spool, calls.text(d.name));
  auto* r = spool.begin<DeviceRecord>(RecordKind::kDevice);
  if (r == nullptr) return false;
  r->head.small = d.id;
  r->head.time_ns = now_ns();
  r->name = name;
  r->memory_bytes = d.globalMemorySize;
  r->bandwidth_kb_per_s = d.globalMemoryBandwidth;
  r->multiprocessors = d.numMultiprocessors;
  r->clock_khz = d.coreClockRate;
  r->major = d.computeCapabilityMajor;
  r->minor = d.computeCapabilityMinor;
  spool.commit(r);
  return true;
}

template <class Activity>
const Activity& as(const CUpti_Activity& record) {
  return reinterpret_cast<const Activity&>(record);
}

enum class Kept : std::uint8_t { kYes, kNoRoom, kUnknown, kUntimed };

Kept kept(bool written) { return written ? Kept::kYes : Kept::kNoRoom; }

template <class Activity, class Write>
Kept timed(const Activity& activity, Write write) {
  if (activity.start == 0 || activity.end == 0) return Kept::kUntimed;
  return kept(write(activity));
}

Kept write(Spool& spool, const CUpti_Activity& record, const DecodeCalls& calls) {
  switch (record.kind) {
    case CUPTI_ACTIVITY_KIND_KERNEL:
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
      return timed(as<CUpti_ActivityKernel10>(record), [&](const auto& a) { return write_kernel(spool, a, calls); });
    case CUPTI_ACTIVITY_KIND_GRAPH_TRACE:
      return timed(as<CUpti_ActivityGraphTrace2>(record), [&](const auto& a) { return write_graph(spool, a); });
    case CUPTI_ACTIVITY_KIND_MEMCPY:
      return timed(as<CUpti_ActivityMemcpy6>(record), [&](const auto& a) { return write_copy(spool, a, 0); });
    case CUPTI_ACTIVITY_KIND_MEMCPY2:
      return timed(as<CUpti_ActivityMemcpyPtoP4>(record), [&](const auto& a) { return write_copy(spool, a, 1); });
    case CUPTI_ACTIVITY_KIND_MEMSET:
      return timed(as<CUpti_ActivityMemset4>(record), [&](const auto& a) { return write_memset(spool, a); });
    case CUPTI_ACTIVITY_KIND_RUNTIME:
    case CUPTI_ACTIVITY_KIND_DRIVER:
      return kept(write_call(spool, as<CUpti_ActivityAPI>(record), calls));
    case CUPTI_ACTIVITY_KIND_SYNCHRONIZATION:
      return kept(write_sync(spool, as<CUpti_ActivitySynchronization2>(record)));
    case CUPTI_ACTIVITY_KIND_MEMORY2:
      return kept(write_memory(spool, as<CUpti_ActivityMemory4>(record)));
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
      return kept(write_external(spool, as<CUpti_ActivityExternalCorrelation>(record)));
    case CUPTI_ACTIVITY_KIND_ENVIRONMENT:
      return kept(write_environment(spool, as<CUpti_ActivityEnvironment>(record)));
    case CUPTI_ACTIVITY_KIND_DEVICE:
      return kept(write_device(spool, as<CUpti_ActivityDevice5>(record), calls));
    default:
      return Kept::kUnknown;
  }
}

}  // namespace

DecodeCounts decode_activities(Spool& spool, std::uint8_t* buffer, std::size_t valid, const DecodeCalls& calls) {
  DecodeCounts counts;
  CUpti_Activity* record = nullptr;
  while (calls.next_record(buffer, valid, &record) == CUPTI_SUCCESS) {
    ++counts.records;
    switch (write(spool, *record, calls)) {
      case Kept::kYes:
        ++counts.kept;
        break;
      case Kept::kUnknown:
        ++counts.unknown;
        break;
      case Kept::kUntimed:
        ++counts.untimed;
        break;
      case Kept::kNoRoom:
        break;  // the spool counts it
    }
  }
  return counts;
}

}  // namespace shardscope::capture
