#pragma once
// What a spool's chunks hold: a head, and behind it the body that its kind says. Plain structs, eight-byte aligned, in
// the byte order of the machine, which reads them too. Times are ns of CLOCK_REALTIME unless said otherwise.
//
// A new kind: its number here, its struct, its writer in the handler, and a case in profiler/import/capture/.

#include <cstdint>

namespace shardscope::capture {

enum class RecordKind : std::uint16_t {
  kNone = 0,
  // NVTX
  kRangePush = 1,    ///< RangeRecord, and bytes of its payload behind it
  kRangePop = 2,     ///< RangeRecord: domain only
  kRangeStart = 3,   ///< RangeRecord
  kRangeEnd = 4,     ///< RangeRecord: range only
  kMark = 5,         ///< RangeRecord
  kSchemaField = 6,  ///< SchemaFieldRecord: one field of a payload's layout
  kThreadName = 7,   ///< NameRecord
  kStep = 8,         ///< StepRecord: a step is over
  // NCCL
  kNcclInit = 16,      ///< NcclInitRecord
  kNcclStart = 17,     ///< NcclStartRecord
  kNcclStop = 18,      ///< NcclStateRecord
  kNcclState = 19,     ///< NcclStateRecord
  kNcclFinalize = 20,  ///< NcclStateRecord: communicator in `handle`
  // CUPTI
  kKernel = 32,        ///< KernelRecord
  kCopy = 33,          ///< CopyRecord (memset too)
  kApi = 34,           ///< ApiRecord
  kSync = 35,          ///< SyncRecord
  kDeviceMemory = 36,  ///< MemoryRecord
  kGraph = 37,         ///< KernelRecord: one launch of a graph
  kExternal = 38,      ///< ExternalRecord
  kDevice = 39,        ///< DeviceRecord
  kGap = 40,           ///< GapRecord: nothing was recorded between two times
  kEnvironment = 41    ///< EnvironmentRecord
};

struct RecordHead {
  std::uint16_t bytes;  ///< of head and body, a multiple of 8
  RecordKind kind;
  std::uint32_t small;  ///< of the kind: a category, a type
  std::int64_t time_ns;
};

struct RangeRecord {
  RecordHead head;             ///< small: category
  std::uint64_t name, domain;  ///< string ids; domain 0: the default one
  std::uint64_t range;         ///< of kRangeStart and kRangeEnd
  std::uint64_t schema;        ///< of the payload bytes behind the record; 0: none, 1: a number
  std::uint32_t payload_bytes;
  std::uint32_t colour;  ///< ARGB; 0: none
};

struct SchemaFieldRecord {
  RecordHead head;  ///< small: index of the field
  std::uint64_t domain, schema, name;
  std::uint32_t type, offset;  ///< NVTX_PAYLOAD_ENTRY_TYPE_*
};

struct NameRecord {
  RecordHead head;  ///< small: thread
  std::uint64_t name;
};

/// What a step was known by; of the greatest that a process has.
enum class StepSign : std::uint32_t { kNone, kOptimizer, kUnnumbered, kNumbered };

struct StepRecord {
  RecordHead head;  ///< small: StepSign; time_ns: when it began
  std::int64_t end_ns, number;
};

struct NcclInitRecord {
  RecordHead head;  ///< small: version of the interface
  std::uint64_t communicator, name;
  std::int32_t rank, ranks, nodes, reserved;
};

/// small: type of event. Fields that a type does not have are 0.
struct NcclStartRecord {
  RecordHead head;
  std::uint64_t handle, parent, communicator;
  std::uint64_t function, datatype, algorithm, protocol;  ///< string ids
  std::uint64_t sequence, count;
  std::uint64_t address;  ///< send buffer; of a kernel channel, GPU's global timer
  std::uint64_t stream;
  std::int32_t rank, root, peer;
  std::int32_t channel;  ///< or, of a collective, how many channels
  std::int32_t pid, steps;
};

struct NcclStateRecord {
  RecordHead head;  ///< small: state
  std::uint64_t handle, value;
};

struct KernelRecord {
  RecordHead head;  ///< time_ns: start on the device
  std::int64_t end_ns;
  std::uint64_t name;
  std::uint32_t correlation, device, context, stream;
  std::int32_t grid[3], block[3];
  std::uint32_t registers, shared_static, shared_dynamic, graph;
  std::uint64_t graph_node;
};

struct CopyRecord {
  RecordHead head;  ///< small: 0 copy, 1 between devices, 2 memset
  std::int64_t end_ns;
  std::uint64_t bytes;
  std::uint32_t correlation, device, context, stream;
  std::uint32_t copy_kind, source_kind, target_kind, graph;  ///< CUpti_ActivityMemcpyKind, CUpti_ActivityMemoryKind
  std::uint64_t graph_node;
};

struct ApiRecord {
  RecordHead head;  ///< small: number of the call
  std::int64_t end_ns;
  std::uint64_t name;
  std::uint32_t correlation, thread;
  std::int32_t result;
  std::uint32_t driver;  ///< 1: of the driver
};

struct SyncRecord {
  RecordHead head;  ///< small: CUpti_ActivitySynchronizationType
  std::int64_t end_ns;
  std::uint32_t correlation, context, stream, event;
};

struct MemoryRecord {
  RecordHead head;  ///< small: CUpti_ActivityMemoryOperationType
  std::uint64_t address, bytes;
  std::uint32_t memory_kind, device, context, thread;
  std::uint64_t name;
};

struct ExternalRecord {
  RecordHead head;  ///< small: kind of external correlation
  std::uint64_t external;
  std::uint32_t correlation, reserved;
};

struct DeviceRecord {
  RecordHead head;  ///< small: CUDA's number of the device
  std::uint64_t name, memory_bytes, bandwidth_kb_per_s;
  std::uint32_t multiprocessors, clock_khz, major, minor;
};

struct EnvironmentRecord {
  RecordHead head;  ///< small: CUpti_ActivityEnvironmentKind
  std::uint32_t device;
  std::uint32_t values[5];  ///< in the order of CUPTI's struct; those that the kind does not have are 0
};

struct GapRecord {
  RecordHead head;
  std::int64_t end_ns;
  std::uint64_t why;
};

}  // namespace shardscope::capture
