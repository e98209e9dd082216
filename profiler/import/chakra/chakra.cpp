// Chakra execution traces (.et): nodes with what each waits for, of one rank. What our own export wrote comes back as
// it was. Others often say only how long a node takes: those begin when all that they wait for is done, one after the
// other on their track, and a diagnostic says so.

#include <algorithm>
#include <unordered_map>

#include "core/error.h"
#include "profiler/import/chakra/chakra_node.h"
#include "profiler/import/chakra/proto_wire.h"
#include "profiler/import/importer.h"
#include "profiler/import/names.h"

namespace shardscope {
namespace {

constexpr std::size_t kLargestMessage = 16 << 20;
constexpr std::size_t kMostEnds = 8 << 20;  ///< nodes whose end is remembered for those that wait for them
constexpr std::int64_t kMostMicroseconds = INT64_MAX / 4000;

/// Messages, each after its length.
class Messages {
 public:
  explicit Messages(ImportSource& source) : source_(source) {}
  /// False at the end, or if what comes is none: then broken().
  bool next(std::string_view& message) {
    waiting_.erase(0, used_);
    used_ = 0;
    std::string_view rest = waiting_;
    std::optional<std::uint64_t> size;
    while (!(size = take_varint(rest)) && waiting_.size() < 10 && fill()) rest = waiting_;
    if (!size || *size > kLargestMessage) return broken_ = !waiting_.empty(), false;
    const std::size_t head = waiting_.size() - rest.size(), bytes = static_cast<std::size_t>(*size);
    while (waiting_.size() < head + bytes && fill()) {
    }
    if (waiting_.size() < head + bytes) return broken_ = true, false;
    message = std::string_view(waiting_).substr(head, bytes);
    used_ = head + bytes;
    return true;
  }
  bool broken() const { return broken_; }

 private:
  bool fill() {
    char buffer[1 << 16];
    const std::size_t n = source_.read(buffer, sizeof buffer);
    waiting_.append(buffer, n);
    return n > 0;
  }
  ImportSource& source_;
  std::string waiting_;
  std::size_t used_ = 0;
  bool broken_ = false;
};

/// "prefix.3.et"
std::optional<std::int64_t> rank_before_ending(std::string_view name) {
  for (std::string_view ending : {".gz", ".et"}) {
    if (name.ends_with(ending)) name.remove_suffix(ending.size());
  }
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return rank_in_name(name);
  const std::string_view number = name.substr(dot + 1);
  const bool digits =
      !number.empty() && number.size() < 8 && number.find_first_not_of("0123456789") == std::string_view::npos;
  if (!digits) return rank_in_name(name);
  return std::int64_t{std::stoll(std::string(number))};
}

class ChakraFile {
 public:
  ChakraFile(ImportSource& source, ImportWriter& writer)
      : source_(source),
        writer_(writer),
        messages_(source),
        rank_(writer.add_rank({.file = source.name(), .format = "chakra", .tool = "Chakra"})) {
    writer.facts(rank_).rank = rank_before_ending(source.name());
  }
  void read();

 private:
  void take(const ChakraNode& node);
  void take_step(const ChakraNode& node);
  std::int32_t op(const ChakraNode& node);
  int track(const ChakraNode& node);
  std::int64_t start_of(const ChakraNode& node, int track);
  void finish();

  ImportSource& source_;
  ImportWriter& writer_;
  Messages messages_;
  const int rank_;
  std::unordered_map<std::uint64_t, std::int64_t> ends_;  ///< ns, by node
  std::unordered_map<int, std::int64_t> track_ends_;
  std::int64_t nodes_ = 0, laid_out_ = 0, unknown_ = 0, bad_ = 0;
};

std::string_view text_or(const ChakraNode& node, std::string_view name, std::string_view other) {
  return node.text(name).value_or(other);
}

std::string_view kind_of(const ChakraNode& node) {
  switch (node.type) {
    case ChakraType::kMemoryLoad:
    case ChakraType::kMemoryStore:
      return "copy";
    case ChakraType::kSend:
      return "send";
    case ChakraType::kReceive:
      return "recv";
    case ChakraType::kCollective:
      return kind_of_chakra(node.integer("comm_type").value_or(-1));
    default:
      return node.flag("is_cpu_op").value_or(false) ? "cpu_op" : "kernel";
  }
}

std::string_view lane_of(const ChakraNode& node, std::string_view kind) {
  if (node.type == ChakraType::kMemoryLoad) return "h2d";
  if (node.type == ChakraType::kMemoryStore) return "d2h";
  if (node.type >= ChakraType::kSend) return lane_of_collective(kind);
  return kind == "cpu_op" ? kHostApiLane : std::string_view("compute");
}

std::int32_t ChakraFile::op(const ChakraNode& node) {
  ForeignOp op;
  op.kind = text_or(node, "shardscope_kind", kind_of(node));
  op.name = text_or(node, "shardscope_name", node.name);
  op.lane = text_or(node, "shardscope_lane", lane_of(node, kind_of(node)));
  op.phase = text_or(node, "shardscope_phase", "");
  op.flops = static_cast<double>(std::max<std::int64_t>(node.integer("num_ops").value_or(0), 0));
  const bool communication = node.type >= ChakraType::kSend;
  op.bytes =
      node.integer("shardscope_bytes").value_or(node.integer(communication ? "comm_size" : "tensor_size").value_or(0));
  ForeignCollective collective;
  if (communication) {
    collective.group = text_or(node, "shardscope_group", text_or(node, "pg_name", ""));
    collective.ranks = node.integer("shardscope_group_size").value_or(0);
    collective.bytes = node.integer("comm_size").value_or(0);
    collective.group_ranks = text_or(node, "shardscope_group_ranks", "");
    collective.peer = node.integer(node.type == ChakraType::kSend ? "comm_dst" : "comm_src").value_or(-1);
    op.collective = &collective;
  }
  return writer_.op(rank_, op);
}

int ChakraFile::track(const ChakraNode& node) {
  const std::string_view lane = lane_of(node, kind_of(node));
  if (const auto own = node.text("shardscope_track")) return writer_.track(rank_, *own, TrackKind::kDevice);
  if (lane == kHostApiLane) return writer_.track(rank_, "host", TrackKind::kHost);
  std::string name = node.type >= ChakraType::kSend ? "communication" : std::string(lane);
  if (const auto stream = node.integer("stream")) name = "gpu0 stream " + std::to_string(*stream);
  if (const auto group = node.text("pg_name"); group && !node.integer("stream")) name += " " + std::string(*group);
  return writer_.track(rank_, name, TrackKind::kDevice);
}

/// ns. Its own time, or when all that it waits for is done.
std::int64_t ChakraFile::start_of(const ChakraNode& node, int track) {
  if (const auto own = node.integer("shardscope_start_ns")) return *own;
  if (node.start_us > 0 && node.start_us < static_cast<std::uint64_t>(kMostMicroseconds))
    return static_cast<std::int64_t>(node.start_us) * 1000;
  ++laid_out_;
  std::int64_t start = track_ends_[track];
  for (const auto* list : {&node.data_after, &node.control_after}) {
    for (const std::uint64_t id : *list) {
      const auto end = ends_.find(id);
      if (end == ends_.end()) ++unknown_;
      if (end != ends_.end()) start = std::max(start, end->second);
    }
  }
  return start;
}

/// What our own export says of the step that it holds.
void ChakraFile::take_step(const ChakraNode& node) {
  const auto step = node.integer("shardscope_step"), start = node.integer("shardscope_start_ns"),
             duration = node.integer("shardscope_duration_ns");
  if (!step || !start || !duration) return;
  writer_.facts(rank_).origin_ns = 0;
  writer_.facts(rank_).tool = "Shardscope";
  writer_.step(rank_, *step, *start, *duration, 0);
}

void ChakraFile::take(const ChakraNode& node) {
  ++nodes_;
  if (node.type == ChakraType::kMetadata) take_step(node);
  if (node.type == ChakraType::kInvalid || node.type == ChakraType::kMetadata) return;
  const int at = track(node);
  const std::int64_t start = start_of(node, at);
  const std::uint64_t us = std::min<std::uint64_t>(node.duration_us, kMostMicroseconds);
  const std::int64_t duration = node.integer("shardscope_duration_ns").value_or(static_cast<std::int64_t>(us) * 1000);
  if (duration < 0 || start < 0 || start > INT64_MAX / 4 || duration > INT64_MAX / 4) {
    ++bad_;
    return;
  }
  const std::int64_t end = start + duration;
  std::int64_t& track_end = track_ends_[at];
  track_end = std::max(track_end, end);
  if (ends_.size() < kMostEnds) ends_[node.id] = end;
  ForeignSlice slice{
      op(node), start, duration, 0, std::max<std::int64_t>(node.integer("shardscope_wait_ns").value_or(0), 0), {}};
  if (const auto step = node.integer("shardscope_step"); step && *step >= 0 && *step <= INT32_MAX) {
    slice.step = static_cast<std::int32_t>(*step);
  }
  writer_.slice(rank_, at, slice);
}

void ChakraFile::read() {
  std::string_view message;
  if (!messages_.next(message) || !decode_metadata(message))
    throw Error(ErrorKind::kParse, source_.path() + ": not a Chakra execution trace");
  writer_.facts(rank_).version = *decode_metadata(message);
  while (!source_.cancelled() && messages_.next(message)) {
    if (const auto node = decode(message)) {
      take(*node);
    } else {
      ++bad_;
    }
  }
  finish();
}

void ChakraFile::finish() {
  writer_.set_count(rank_, "events", nodes_);
  const auto say = [&](std::int64_t count, const char* kind, const char* text) {
    if (count > 0) writer_.diagnostic(rank_, kind, text, count);
  };
  say(laid_out_, "laid_out",
      "nodes without a start time begin when what they wait for is done, one after the other on their track");
  say(unknown_, "unknown_node", "nodes wait for others that do not come before them in the file");
  say(bad_, "bad_event", "nodes that are not sound were not kept");
  say(messages_.broken() && !source_.cancelled() ? 1 : 0, "truncated",
      "the file ends in the middle; what comes before is here");
  if (nodes_ == 0 && !source_.cancelled())
    throw Error(ErrorKind::kParse, source_.path() + ": a Chakra execution trace without a node");
}

/// A short message with the fields of metadata, and a node behind it.
bool recognises(const ImportSource& source) {
  std::string_view head = source.head();
  const auto size = take_varint(head);
  if (!size || *size == 0 || *size >= head.size() || !decode_metadata(head.substr(0, *size))) return false;
  head.remove_prefix(*size);
  const auto node_size = take_varint(head);
  if (!node_size || *node_size == 0 || *node_size > kLargestMessage) return false;
  return *node_size > head.size() ? head.starts_with("\x08") || head.starts_with("\x12")
                                  : decode(head.substr(0, *node_size)).has_value();
}

void import_chakra(ImportSource& source, ImportWriter& writer) { ChakraFile(source, writer).read(); }

}  // namespace

extern const Importer kChakraImporter;
const Importer kChakraImporter = {"chakra", "Chakra execution trace (.et), one for each rank", recognises,
                                  import_chakra};

}  // namespace shardscope
