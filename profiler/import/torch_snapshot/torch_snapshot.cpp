// PyTorch's snapshot of CUDA memory (torch.cuda.memory._dump_snapshot): a pickle of the allocator's segments and of the
// last allocations and frees, for each device. The history is a ring, so what was live before it comes from the
// segments, walked backwards. A block is live until its free completed: until then no other can have it. Source:
// torch/csrc/cuda/memory_snapshot.cpp, torch/cuda/_memory_viz.py.

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/error.h"
#include "profiler/import/data_pickle.h"
#include "profiler/import/importer.h"
#include "profiler/import/names.h"

namespace shardscope {
namespace {

constexpr std::int64_t kYear2001 = 1'000'000'000'000'000'000;  ///< ns since 1970
constexpr std::int64_t kLastTime = INT64_MAX / 1000;           ///< microseconds
constexpr std::int64_t kMostDevices = 1024;

struct Device {
  int rank = -1;
  std::int64_t segments = 0, blocks = 0, reserved = 0, allocated = 0, active = 0;  ///< of its segments
  PickleValue history;
};

/// Bytes that came (positive) or went; 0 for what changes nothing.
std::int64_t change_of(std::string_view action, std::int64_t size) {
  if (action == "alloc") return size;
  return action == "free_completed" || action == "free" ? -size : 0;
}

/// The last allocations and frees of a device, in the order in which they were.
class History {
 public:
  History(DataPickle& pickle, ImportWriter& writer, std::int64_t index, const Device& device)
      : pickle_(pickle), writer_(writer), index_(index), device_(device) {}

  void read() {
    find_base();
    live_ = base_;
    pickle_.each(device_.history, [&](const PickleValue& entry) { take(entry); });
    writer_.set_count(device_.rank, "events", entries_);
    writer_.set_count(device_.rank, "memory_events", entries_);
    writer_.set_count(device_.rank, "peak_traced_bytes", peak_);
    if (stacks_ > 0) writer_.loss(device_.rank, "frames", stacks_, "stack traces of allocations are not kept");
  }

 private:
  void find_base();
  void take(const PickleValue& entry);
  void change(std::int64_t address, std::int64_t change, std::int64_t time_ns);
  void mark(const std::string& action, std::int64_t size, std::int64_t time_ns);

  DataPickle& pickle_;
  ImportWriter& writer_;
  const std::int64_t index_;
  const Device& device_;
  std::int64_t base_ = 0, live_ = 0, traced_ = 0, peak_ = 0, entries_ = 0, stacks_ = 0;
  bool first_ = true;
  std::unordered_map<std::int64_t, std::int64_t> traced_blocks_;  ///< by address: size of those the history allocated
};

/// What was live before the history: what is now, less all changes.
void History::find_base() {
  std::int64_t sum = 0, lowest = 0;
  pickle_.each(device_.history, [&](const PickleValue& entry) {
    if (!is_record(entry)) return;
    sum += change_of(text_in(entry, "action"), size_in(entry, "size").value_or(0));
    lowest = std::min(lowest, sum);
  });
  base_ = std::max(device_.active - sum, -lowest);
  if (base_ != device_.active - sum) {
    writer_.diagnostic(device_.rank, "history_differs",
                       "by the history other bytes are live at its end than by the segments");
  }
}

void History::take(const PickleValue& entry) {
  const bool record = is_record(entry);
  const auto size = record ? size_in(entry, "size") : std::nullopt;
  const auto time = record ? integer_in(entry, "time_us") : std::nullopt;
  if (!size || !time || *time < 0 || *time > kLastTime) {
    writer_.diagnostic(device_.rank, "bad_entry", "entries without a readable size and time_us were not kept");
    return;
  }
  ++entries_;
  if (entry["frames"].size() > 0) ++stacks_;
  const std::string action = text_in(entry, "action");
  if (const std::int64_t bytes = change_of(action, *size); bytes != 0) {
    change(integer_in(entry, "addr").value_or(0), bytes, *time * 1000);
  } else if (action.starts_with("segment_") || action == "oom") {
    mark(action, *size, *time * 1000);
  } else if (action != "free_requested" && action != "snapshot" && *size != 0) {
    writer_.diagnostic(device_.rank, "unknown_action", "entries of an action that PyTorch does not write: " + action);
  }
}

void History::change(std::int64_t address, std::int64_t change, std::int64_t time_ns) {
  if (first_ && base_ > 0) writer_.memory(device_.rank, time_ns, Space::kDevice, Category::kOther, base_);
  first_ = false;
  live_ += change;
  writer_.memory(device_.rank, time_ns, Space::kDevice, Category::kOther, std::max<std::int64_t>(0, live_));
  std::int64_t& block = traced_blocks_[address];
  traced_ += std::max<std::int64_t>(change, 0) - block;  // of a free, or of a block whose free was not recorded
  block = std::max<std::int64_t>(change, 0);
  if (block == 0) traced_blocks_.erase(address);
  peak_ = std::max(peak_, traced_);
}

/// A segment that came or went, or memory that was not to be had: no time, but a place in the timeline.
void History::mark(const std::string& action, std::int64_t size, std::int64_t time_ns) {
  const int track = writer_.track(device_.rank, fmt::format("gpu{} allocator", index_), TrackKind::kOther);
  const std::int32_t op = writer_.op(device_.rank, {.kind = "allocator", .name = action, .bytes = size});
  writer_.slice(device_.rank, track, {.op = op, .start_ns = time_ns});
  if (action == "oom") {
    writer_.diagnostic(device_.rank, "out_of_memory",
                       fmt::format("gpu{} had no {} bytes left when they were asked for", index_, size));
  }
}

class Snapshot {
 public:
  Snapshot(ImportSource& source, ImportWriter& writer) : source_(source), writer_(writer), pickle_(source) {}

  void read() {
    if (source_.cancelled()) return;
    const PickleValue root = pickle_.root();
    pickle_.each(root["segments"], [&](const PickleValue& segment) { take_segment(segment); });
    std::int64_t index = 0;
    pickle_.each(root["device_traces"], [&](const PickleValue& history) {
      if (history.size() > 0 && index < kMostDevices) devices_[index].history = history;
      ++index;
    });
    if (devices_.empty()) throw Error(ErrorKind::kParse, source_.path() + ": a snapshot of no memory");
    for (auto& [number, device] : devices_) write(number, device);
    if (pickle_.cut_short()) {
      writer_.diagnostic(-1, "truncated",
                         source_.name() + ": the snapshot ends in the middle; live memory is as far as it says");
    }
    write_annotations(root["external_annotations"]);
    for (const auto& [number, device] : devices_) {
      if (writer_.first_ns(device.rank).value_or(0) > kYear2001) writer_.facts(device.rank).base_ns = 0;
    }
  }

 private:
  void take_segment(const PickleValue& segment);
  void write(std::int64_t number, Device& device);
  void write_annotations(const PickleValue& annotations);

  ImportSource& source_;
  ImportWriter& writer_;
  DataPickle pickle_;
  std::map<std::int64_t, Device> devices_;
  std::int64_t bad_segments_ = 0;
};

void Snapshot::take_segment(const PickleValue& segment) {
  const auto number = is_record(segment) ? integer_in(segment, "device") : std::nullopt;
  const auto total = number ? size_in(segment, "total_size") : std::nullopt;
  if (!total || *number < 0 || *number >= kMostDevices) {
    ++bad_segments_;
    return;
  }
  Device& device = devices_[*number];
  const std::int64_t allocated = size_in(segment, "allocated_size").value_or(0);
  ++device.segments;
  device.blocks += static_cast<std::int64_t>(segment["blocks"].size());
  device.reserved += *total;
  device.allocated += allocated;
  device.active += size_in(segment, "active_size").value_or(allocated);
}

void Snapshot::write(std::int64_t number, Device& device) {
  SourceFacts facts{.file = source_.name(), .format = "torch_snapshot", .tool = "PyTorch memory snapshot"};
  if (devices_.size() == 1) facts.rank = rank_in_name(source_.name());
  device.rank = writer_.add_rank(facts);
  writer_.device(device.rank, {.device = number});
  writer_.set_count(device.rank, "segments", device.segments);
  writer_.set_count(device.rank, "allocated_bytes", device.allocated);
  writer_.set_count(device.rank, "reserved_bytes", device.reserved);
  if (device.blocks > 0)
    writer_.loss(device.rank, "blocks", device.blocks, "addresses, and the blocks within segments, are not kept");
  if (bad_segments_ > 0) {
    writer_.diagnostic(device.rank, "bad_segment", "segments without a readable device and total_size were not kept",
                       std::exchange(bad_segments_, 0));
  }
  History(pickle_, writer_, number, device).read();
  if (!writer_.first_ns(device.rank))  // no history was recorded: the state alone
    writer_.memory(device.rank, 0, Space::kDevice, Category::kOther, device.active);
}

/// Ranges that a program gave: begin and end, the innermost of a name first.
void Snapshot::write_annotations(const PickleValue& annotations) {
  std::map<std::pair<std::int64_t, std::string>, std::vector<std::int64_t>> open;
  pickle_.each(annotations, [&](const PickleValue& given) {
    if (!is_record(given)) return;
    const auto found = devices_.find(integer_in(given, "device").value_or(0));
    const int rank = (found != devices_.end() ? found : devices_.begin())->second.rank;
    const std::int64_t time = std::clamp<std::int64_t>(integer_in(given, "time_us").value_or(0), 0, kLastTime) * 1000;
    const std::string name = text_in(given, "name");
    std::vector<std::int64_t>& begun = open[{rank, name}];
    if (text_in(given, "stage") == "START") {
      begun.push_back(time);
    } else if (!begun.empty()) {
      const std::int32_t op = writer_.op(rank, {.kind = "annotation", .name = name});
      writer_.slice(rank, writer_.track(rank, "annotations", TrackKind::kOther),
                    {.op = op, .start_ns = begun.back(), .duration_ns = time - begun.back()});
      begun.pop_back();
    } else {
      writer_.diagnostic(rank, "unfinished", "annotations of which the begin or the end is missing were not kept");
    }
  });
  for (const auto& [key, begun] : open) {
    if (!begun.empty()) {
      writer_.diagnostic(static_cast<int>(key.first), "unfinished",
                         "annotations of which the begin or the end is missing were not kept",
                         static_cast<std::int64_t>(begun.size()));
    }
  }
}

bool recognises(const ImportSource& source) {
  return is_pickle_with(source, "device_traces") ||
         (is_pickle_with(source, "segments") && is_pickle_with(source, "segment_type"));
}

void import_snapshot(ImportSource& source, ImportWriter& writer) { Snapshot(source, writer).read(); }

}  // namespace

extern const Importer kTorchSnapshotImporter;
const Importer kTorchSnapshotImporter = {"torch_snapshot", "PyTorch CUDA memory snapshot, a pickle", recognises,
                                         import_snapshot};

}  // namespace shardscope
