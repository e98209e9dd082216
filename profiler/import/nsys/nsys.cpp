// Nsight Systems: what `nsys export --type sqlite` writes, 2022 to 2026. Each process that uses CUDA or NVTX is a rank.

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <tuple>

#include "core/error.h"
#include "profiler/import/importer.h"
#include "profiler/import/names.h"
#include "profiler/import/nsys/nsys_tables.h"
#include "profiler/import/tally.h"
#include "profiler/store/schema.h"

namespace shardscope {
namespace {

using Integer = std::optional<std::int64_t>;

constexpr std::int64_t kProcessMask = ~std::int64_t{0xFFFFFF};  ///< of a global thread id: its process
constexpr std::int64_t thread_of(std::int64_t global) { return global & 0xFFFFFF; }
constexpr std::int64_t process_of(std::int64_t global) { return (global >> 24) & 0xFFFFFF; }

constexpr std::int64_t kPushPop = 59, kStartEnd = 60, kDomain = 75;  ///< NVTX_EVENTS.eventType

std::string_view copy_name(std::int64_t kind) {
  static constexpr std::array<std::string_view, 14> kNames = {"unknown", "HtoD",     "DtoH",     "HtoA",    "AtoH",
                                                              "AtoA",    "AtoD",     "DtoA",     "DtoD",    "HtoH",
                                                              "PtoP",    "UVM HtoD", "UVM DtoH", "UVM DtoD"};
  return kNames[kind >= 0 && kind < 14 ? static_cast<std::size_t>(kind) : 0];
}

std::string_view copy_lane(std::int64_t kind) {
  if (kind == 1 || kind == 3 || kind == 11) return "h2d";
  if (kind == 2 || kind == 4 || kind == 12) return "d2h";
  return to_string(Lane::kCompute);
}

/// Where memory of ENUM_CUDA_MEM_KIND lies; its numbers are not those of CUPTI.
Space space_of(std::int64_t kind) { return kind == 0 ? Space::kHost : kind == 1 ? Space::kPinned : Space::kDevice; }

/// The columns that all tables of device work have, in this order, and then others.
enum Common : std::uint8_t { kStart, kEnd, kDevice, kStream, kCorrelation, kProcess, kFirstOwn };

class NsysFile {
 public:
  NsysFile(ImportSource& source, ImportWriter& writer) : source_(source), writer_(writer), tables_(source) {}
  void read();

 private:
  struct Process {
    explicit Process(int handle) : rank(handle) {}
    const int rank;
    Tally tally;
    std::array<std::int64_t, kSpaces> live_bytes{};
    std::int64_t device_peak = 0;
    bool has_memory = false;
  };
  Process& process(Integer global, bool is_rank);
  void add_devices(int rank);
  void read_facts();
  void read_kernels();
  void kernel(const NsysRow& row);
  void read_copies(const char* table, bool memset);
  void read_graphs();
  void read_waits();
  void read_calls(const char* table, const char* kind);
  void read_ranges();
  void range(const NsysRow& row);
  void read_memory();
  void memory(const NsysRow& row);
  void read_overhead(const char* table);
  void rows(const char* table, std::initializer_list<const char*> columns, void (NsysFile::*f)(const NsysRow&));
  void rows(const char* table, std::initializer_list<const char*> columns,
            const std::function<void(const NsysRow&)>& f);
  bool slice(Process& to, int track, const ForeignOp& op, const NsysRow& row, std::int64_t correlation);
  int stream(const Process& of, const NsysRow& row, const char* suffix, TrackKind kind);
  int thread(const Process& of, std::int64_t global, const char* suffix, TrackKind kind);
  void finish();

  ImportSource& source_;
  ImportWriter& writer_;
  NsysTables tables_;
  SourceFacts facts_;
  std::map<std::int64_t, std::unique_ptr<Process>> processes_;  ///< by global process id
  Process* first_ = nullptr;
  std::map<std::int64_t, std::string> thread_names_;
  std::map<std::tuple<int, std::int64_t, std::int64_t, std::string>, int> tracks_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::string> domains_;  ///< of NVTX, by process and number
};

std::int64_t stream_key(const NsysRow& row) {
  return static_cast<std::int64_t>((static_cast<std::uint64_t>(row.integer(kDevice).value_or(0)) << 40) ^
                                   static_cast<std::uint64_t>(row.integer(kStream).value_or(0)));
}

void NsysFile::rows(const char* table, std::initializer_list<const char*> columns,
                    const std::function<void(const NsysRow&)>& f) {
  if (tables_.read(table, columns, f)) return;
  writer_.diagnostic(-1, "damaged_table", source_.name() + ": table " + table + " cannot be read to its end");
}

void NsysFile::rows(const char* table, std::initializer_list<const char*> columns,
                    void (NsysFile::*f)(const NsysRow&)) {
  rows(table, columns, [this, f](const NsysRow& row) { (this->*f)(row); });
}

void NsysFile::read_facts() {
  facts_ = {.file = source_.name(), .format = "nsys", .tool = "NVIDIA Nsight Systems"};
  for (const char* table : {"META_DATA_EXPORT", "EXPORT_META_DATA"}) {
    rows(table, {"name", "value"}, [&](const NsysRow& row) {
      if (row.text(0) == "EXPORT_PRODUCT_VERSION") facts_.version = row.text(1);
      if (row.text(0) == "EXPORT_SCHEMA_VERSION" && facts_.version.empty()) facts_.version = "schema " + row.text(1);
    });
  }
  rows("TARGET_INFO_SESSION_START_TIME", {"utcEpochNs"}, [&](const NsysRow& row) {
    const Integer base = row.integer(0);
    if (base && *base > 0 && *base < INT64_MAX / 4) facts_.base_ns = base;
  });
  rows("ThreadNames", {"globalTid", "nameId"}, [&](const NsysRow& row) {
    constexpr std::size_t kMostThreads = 100'000;
    if (row.integer(0) && thread_names_.size() < kMostThreads)
      thread_names_[*row.integer(0)] = tables_.string(row.integer(1));
  });
}

void NsysFile::add_devices(int rank) {
  rows("TARGET_INFO_GPU", {"cuDevice", "name", "totalMemory", "smCount", "computeMajor", "computeMinor"},
       [&](const NsysRow& row) {
         const Integer major = row.integer(4), minor = row.integer(5);
         writer_.device(rank,
                        {.device = row.integer(0).value_or(0),
                         .name = row.text(1),
                         .capability = major ? std::to_string(*major) + "." + std::to_string(minor.value_or(0)) : "",
                         .memory_bytes = row.integer(2),
                         .processors = row.integer(3)});
       });
}

/// Of a global id. What a process that is no rank does is put with the first one.
NsysFile::Process& NsysFile::process(Integer global, bool is_rank) {
  constexpr std::size_t kMostProcesses = 4096;
  const std::int64_t id = global.value_or(0) & kProcessMask;
  const auto known = processes_.find(id);
  if (known != processes_.end()) return *known->second;
  if (first_ != nullptr && (!is_rank || !global || processes_.size() >= kMostProcesses)) return *first_;
  auto& made = processes_[id] = std::make_unique<Process>(writer_.add_rank(facts_));
  if (first_ == nullptr) first_ = made.get();
  add_devices(made->rank);
  return *made;
}

bool NsysFile::slice(Process& to, int track, const ForeignOp& op, const NsysRow& row, std::int64_t correlation) {
  const Integer start = row.integer(kStart), end = row.integer(kEnd);
  to.tally.event();
  if (!start || !end) {
    writer_.diagnostic(to.rank, "unfinished", "events without a start or an end were not kept");
    return false;
  }
  // In a hostile file these are any numbers: their difference must not overflow.
  const bool far = *start < -(INT64_MAX / 4) || *start > INT64_MAX / 4 || *end > INT64_MAX / 4 || *end < *start;
  return writer_.slice(to.rank, track, {writer_.op(to.rank, op), *start, far ? -1 : *end - *start, correlation});
}

int NsysFile::stream(const Process& of, const NsysRow& row, const char* suffix, TrackKind kind) {
  const std::int64_t device = row.integer(kDevice).value_or(0), stream = row.integer(kStream).value_or(0);
  const auto [known, is_new] = tracks_.try_emplace({of.rank, device, stream, suffix}, 0);
  if (is_new) {
    known->second =
        writer_.track(of.rank, "gpu" + std::to_string(device) + " stream " + std::to_string(stream) + suffix, kind);
  }
  return known->second;
}

int NsysFile::thread(const Process& of, std::int64_t global, const char* suffix, TrackKind kind) {
  const auto [known, is_new] = tracks_.try_emplace({of.rank, -1, global, suffix}, 0);
  if (!is_new) return known->second;
  std::string name = "thread " + std::to_string(thread_of(global));
  if (processes_.count(global & kProcessMask) == 0) name = "process " + std::to_string(process_of(global)) + " " + name;
  const auto named = thread_names_.find(global);
  if (named != thread_names_.end() && !named->second.empty()) name += " " + named->second;
  return known->second = writer_.track(of.rank, name + suffix, kind);
}

void NsysFile::read_kernels() {
  rows("CUPTI_ACTIVITY_KIND_KERNEL",
       {"start", "end", "deviceId", "streamId", "correlationId", "globalPid", "demangledName", "shortName",
        "registersPerThread", "staticSharedMemory", "dynamicSharedMemory", "gridX", "gridY", "gridZ", "blockX",
        "blockY", "blockZ"},
       &NsysFile::kernel);
}

void NsysFile::kernel(const NsysRow& row) {
  Process& to = process(row.integer(kProcess), true);
  const std::string long_name = tables_.string(row.integer(kFirstOwn));
  const std::string short_name = tables_.string(row.integer(kFirstOwn + 1));
  const std::string &name = long_name.empty() ? short_name : long_name,
                    &shorter = short_name.empty() ? name : short_name;
  ForeignLaunch launch;
  for (int i = 0; i < 3; ++i) {
    launch.grid[i] = row.integer(kFirstOwn + 5 + i).value_or(0);
    launch.block[i] = row.integer(kFirstOwn + 8 + i).value_or(0);
  }
  launch.registers = row.integer(kFirstOwn + 2).value_or(-1);
  const std::int64_t fixed = row.integer(kFirstOwn + 3).value_or(-1), dynamic = row.integer(kFirstOwn + 4).value_or(0);
  if (fixed >= 0 && fixed <= INT32_MAX && dynamic >= 0 && dynamic <= INT32_MAX) launch.shared_bytes = fixed + dynamic;
  ForeignOp op{.kind = "kernel", .name = name, .lane = to_string(Lane::kCompute), .launch = &launch};
  ForeignCollective collective{.algorithm = algorithm_in(name), .protocol = protocol_in(name)};
  const bool nccl = is_nccl_kernel(shorter);
  if (nccl) {
    op.kind = collective_kind(name).empty() ? "collective" : collective_kind(name);
    op.lane = lane_of_collective(op.kind);
    op.collective = &collective;
  }
  const std::int64_t correlation = row.integer(kCorrelation).value_or(0);
  if (!slice(to, stream(to, row, "", TrackKind::kDevice), op, row, correlation)) return;
  to.tally.kernel(shorter, stream_key(row), correlation, *row.integer(kEnd) - *row.integer(kStart));
  if (nccl) to.tally.nccl_kernel(false);
}

void NsysFile::read_copies(const char* table, bool memset) {
  rows(table, {"start", "end", "deviceId", "streamId", "correlationId", "globalPid", "bytes", "copyKind"},
       [&](const NsysRow& row) {
         Process& to = process(row.integer(kProcess), true);
         const std::int64_t bytes = std::max<std::int64_t>(row.integer(kFirstOwn).value_or(0), 0),
                            kind = row.integer(kFirstOwn + 1).value_or(0);
         memset ? to.tally.memset(stream_key(row)) : to.tally.copy(stream_key(row), bytes);
         slice(to, stream(to, row, "", TrackKind::kDevice),
               {.kind = memset ? "memset" : "copy",
                .name = memset ? std::string_view("memset") : copy_name(kind),
                .lane = memset ? to_string(Lane::kCompute) : copy_lane(kind),
                .bytes = bytes},
               row, row.integer(kCorrelation).value_or(0));
       });
}

/// CUDA graphs that were traced as a whole.
void NsysFile::read_graphs() {
  rows("CUPTI_ACTIVITY_KIND_GRAPH_TRACE",
       {"start", "end", "deviceId", "streamId", "correlationId", "globalPid", "graphId"}, [&](const NsysRow& row) {
         Process& to = process(row.integer(kProcess), true);
         const std::string name = "CUDA graph " + std::to_string(row.integer(kFirstOwn).value_or(0));
         to.tally.memset(stream_key(row));  // a stream, and no kernel of its own
         slice(to, stream(to, row, "", TrackKind::kDevice),
               {.kind = "graph", .name = name, .lane = to_string(Lane::kCompute)}, row,
               row.integer(kCorrelation).value_or(0));
       });
}

void NsysFile::read_waits() {
  static constexpr std::array<std::string_view, 5> kNames = {"synchronize", "event synchronize", "stream wait event",
                                                             "stream synchronize", "context synchronize"};
  rows("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION",
       {"start", "end", "deviceId", "streamId", "correlationId", "globalPid", "syncType"}, [&](const NsysRow& row) {
         Process& to = process(row.integer(kProcess), true);
         const std::int64_t type = row.integer(kFirstOwn).value_or(0);
         slice(to, stream(to, row, " waits", TrackKind::kOther),
               {.kind = "wait", .name = kNames[type > 0 && type < 5 ? static_cast<std::size_t>(type) : 0]}, row,
               row.integer(kCorrelation).value_or(0));
       });
}

/// Calls of a thread: of CUDA ("runtime"), or of the operating system.
void NsysFile::read_calls(const char* table, const char* kind) {
  const bool cuda = std::string_view(kind) == "runtime";
  rows(table, {"start", "end", "globalTid", "nameId", "correlationId"}, [&](const NsysRow& row) {
    Process& to = process(row.integer(2), cuda);
    const std::int64_t correlation = row.integer(4).value_or(0);
    if (cuda) to.tally.runtime_call(correlation);
    slice(to, thread(to, row.integer(2).value_or(0), "", TrackKind::kHost),
          {.kind = kind, .name = tables_.string(row.integer(3)), .lane = kHostApiLane}, row, correlation);
  });
}

void NsysFile::read_ranges() {
  constexpr std::size_t kMostDomains = 10'000;
  rows("NVTX_EVENTS", {"eventType", "globalTid", "domainId", "text", "textId"}, [&](const NsysRow& row) {
    if (row.integer(0) != kDomain || domains_.size() >= kMostDomains) return;
    const std::string text = row.text(3);
    domains_[{row.integer(1).value_or(0) & kProcessMask, row.integer(2).value_or(0)}] =
        text.empty() ? tables_.string(row.integer(4)) : text;
  });
  rows("NVTX_EVENTS", {"start", "end", "globalTid", "eventType", "text", "textId", "domainId"}, &NsysFile::range);
}

void NsysFile::range(const NsysRow& row) {
  const Integer type = row.integer(3);
  if (type != kPushPop && type != kStartEnd) return;
  Process& to = process(row.integer(2), true);
  const std::int64_t global = row.integer(2).value_or(0), number = row.integer(6).value_or(0);
  std::string name = row.text(4);
  if (name.empty()) name = tables_.string(row.integer(5));
  const auto domain = number == 0 ? domains_.end() : domains_.find({global & kProcessMask, number});
  const std::string kind = domain == domains_.end() ? "nvtx" : "nvtx " + domain->second;
  const int track =
      type == kPushPop ? thread(to, global, "", TrackKind::kHost) : thread(to, global, " ranges", TrackKind::kOther);
  to.tally.nvtx_range();
  if (!slice(to, track, {.kind = kind, .name = name, .lane = kHostApiLane}, row, 0)) return;
  const auto step = domain == domains_.end() ? step_name(name) : std::nullopt;
  if (step) {
    writer_.step(to.rank, step->number, *row.integer(kStart), *row.integer(kEnd) - *row.integer(kStart),
                 step->priority);
  }
}

void NsysFile::read_memory() {
  rows("CUDA_GPU_MEMORY_USAGE_EVENTS", {"start", "globalPid", "bytes", "memKind", "memoryOperationType"},
       &NsysFile::memory);
}

void NsysFile::memory(const NsysRow& row) {
  Process& to = process(row.integer(1), true);
  const std::int64_t bytes = row.integer(2).value_or(-1);
  to.tally.event();
  if (!row.integer(0) || bytes < 0 || bytes > INT64_MAX / 1024) {
    writer_.diagnostic(to.rank, "bad_memory", "memory events without a time or size were not kept");
    return;
  }
  to.tally.memory_event();
  to.has_memory = true;
  const Space space = space_of(row.integer(3).value_or(2));
  std::int64_t& live = to.live_bytes[static_cast<std::size_t>(space)];
  const std::int64_t change = row.integer(4).value_or(0) == 0 ? bytes : -bytes;
  if (__builtin_add_overflow(live, change, &live)) live = 0;
  live = std::max<std::int64_t>(live, 0);  // freed here, allocated before the capture
  if (space == Space::kDevice) to.device_peak = std::max(to.device_peak, live);
  writer_.memory(to.rank, *row.integer(0), space, Category::kOther, live);
}

void NsysFile::read_overhead(const char* table) {
  rows(table, {"start", "end", "globalTid", "nameId"}, [&](const NsysRow& row) {
    Process& to = process(row.integer(2), false);
    slice(to, writer_.track(to.rank, "profiler overhead", TrackKind::kOther),
          {.kind = "overhead", .name = tables_.string(row.integer(3))}, row, 0);
  });
}

void NsysFile::finish() {
  static const std::set<std::string> kKnown = {"CUPTI_ACTIVITY_KIND_KERNEL",          "CUPTI_ACTIVITY_KIND_MEMCPY",
                                               "CUPTI_ACTIVITY_KIND_MEMSET",          "CUPTI_ACTIVITY_KIND_GRAPH_TRACE",
                                               "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", "CUPTI_ACTIVITY_KIND_RUNTIME",
                                               "CUPTI_ACTIVITY_KIND_OVERHEAD"};
  for (const auto& [id, of] : processes_) {
    of->tally.write(writer_, of->rank, true, true);
    if (!of->has_memory) continue;
    writer_.set_count(of->rank, "peak_traced_bytes", of->device_peak);
    writer_.set_count(of->rank, "allocated_bytes", of->live_bytes[static_cast<std::size_t>(Space::kDevice)]);
  }
  if (first_ == nullptr) return;
  for (const std::string& table : tables_.tables_like("CUPTI_ACTIVITY_KIND_")) {
    const std::int64_t left = kKnown.count(table) == 0 ? tables_.rows(table) : 0;
    if (left > 0) writer_.loss(first_->rank, table, left, "a table that is not imported");
  }
}

void NsysFile::read() {
  if (!tables_.whole()) {
    writer_.diagnostic(-1, "truncated",
                       source_.name() + ": ends too early, or is damaged; what can be read of it is here");
  }
  read_facts();
  constexpr int kParts = 11;
  int done = 0;
  const auto part = [&](const auto& read_part) {
    read_part();
    source_.report(source_.size() / kParts * ++done);
  };
  part([&] { read_kernels(); });
  part([&] { read_copies("CUPTI_ACTIVITY_KIND_MEMCPY", false); });
  part([&] { read_copies("CUPTI_ACTIVITY_KIND_MEMSET", true); });
  part([&] { read_graphs(); });
  part([&] { read_waits(); });
  part([&] { read_calls("CUPTI_ACTIVITY_KIND_RUNTIME", "runtime"); });
  part([&] { read_ranges(); });
  part([&] { read_memory(); });
  part([&] { read_calls("OSRT_API", "os"); });
  part([&] { read_overhead("CUPTI_ACTIVITY_KIND_OVERHEAD"); });
  part([&] { read_overhead("PROFILER_OVERHEAD"); });
  finish();
  if (first_ == nullptr && !source_.cancelled()) {
    throw Error(ErrorKind::kParse, source_.path() + ": an Nsight Systems export without events that can be imported");
  }
}

/// An SQLite file whose first pages name tables as the exports have them.
bool recognises(const ImportSource& source) {
  const std::string_view head = source.head();
  if (!head.starts_with(kSqliteMagic)) return false;
  for (std::string_view word :
       {"CUPTI_ACTIVITY_KIND_", "META_DATA_EXPORT", "EXPORT_META_DATA", "TARGET_INFO_", "NVTX_EVENTS", "ENUM_NSYS_"}) {
    if (head.find(word) != std::string_view::npos) return true;
  }
  return false;
}

void import_nsys(ImportSource& source, ImportWriter& writer) { NsysFile(source, writer).read(); }

}  // namespace

extern const Importer kNsysImporter;
const Importer kNsysImporter = {"nsys", "Nsight Systems export (nsys export --type sqlite)", recognises, import_nsys};

}  // namespace shardscope
