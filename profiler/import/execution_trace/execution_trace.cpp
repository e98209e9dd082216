// PyTorch's execution traces (torch.profiler.ExecutionTraceObserver): JSON with a node for each operator, in the order
// of their calls, with arguments and sizes of collectives, and most often without times. Read are schemas 1.0.1
// to 1.1.x
// ("...-chakra.0.0.4"), and what Chakra's trace_link made of them, which has times and kernels.

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "profiler/import/importer.h"
#include "profiler/import/kineto/json_window.h"
#include "profiler/import/names.h"

namespace shardscope {
namespace {

using nlohmann::json;

constexpr double kMostMicroseconds = 9e15;

/// A member of the node, or, in newer schemas, of its list of attributes; null if there is none.
const json& member(const json& node, const char* name) {
  static const json kNone;
  if (const auto direct = node.find(name); direct != node.end()) return *direct;
  const auto attributes = node.find("attrs");
  if (attributes == node.end() || !attributes->is_array()) return kNone;
  for (const json& attribute : *attributes) {
    if (!attribute.is_object() || !attribute.contains("name") || attribute["name"] != name) continue;
    const auto value = attribute.find("value");
    if (value != attribute.end()) return *value;
  }
  return kNone;
}

std::string text_in(const json& node, const char* name) {
  const json& value = member(node, name);
  return value.is_string() ? value.get<std::string>() : value.is_number_integer() ? value.dump() : std::string();
}

std::optional<std::int64_t> integer_in(const json& node, const char* name) {
  const json& value = member(node, name);
  if (value.is_number_integer()) return value.get<std::int64_t>();
  return std::nullopt;
}

/// Microseconds, whole or with decimals, as ns.
std::optional<std::int64_t> time_in(const json& node, const char* name) {
  const json& value = member(node, name);
  if (value.is_number_integer() && std::abs(value.get<double>()) < kMostMicroseconds)
    return value.get<std::int64_t>() * 1000;
  if (!value.is_number_float() || !(std::abs(value.get<double>()) < kMostMicroseconds)) return std::nullopt;
  return std::llround(value.get<double>() * 1000);
}

/// Of older schemas, which have no attribute for it: the first text among the arguments that names a collective.
std::string collective_in_arguments(const json& node) {
  const auto inputs = node.find("inputs");
  if (inputs == node.end()) return "";
  const json& values = inputs->is_object() && inputs->contains("values") ? (*inputs)["values"] : *inputs;
  if (!values.is_array()) return "";
  for (const json& value : values) {
    if (value.is_string() && !collective_kind(value.get<std::string>()).empty()) return value.get<std::string>();
  }
  return "";
}

class ExecutionTrace {
 public:
  ExecutionTrace(ImportSource& source, ImportWriter& writer)
      : source_(source),
        writer_(writer),
        window_(source),
        rank_(writer.add_rank({.file = source.name(), .format = "execution_trace", .tool = "PyTorch"})) {
    writer.facts(rank_).rank = rank_in_name(source.name());
  }
  void read();

 private:
  void read_object();
  void read_nodes();
  void take(const json& node);
  void take_groups(const json& node);
  void place(const json& node, std::int32_t op, bool on_device);
  std::int32_t op(const json& node, const std::string& name, bool on_device);
  int track(const json& node, bool on_device);
  void finish();

  ImportSource& source_;
  ImportWriter& writer_;
  JsonWindow window_;
  const int rank_;
  std::map<std::string, std::string> group_ranks_;  ///< JSON list, by name of the group
  std::int64_t nodes_ = 0, untimed_ = 0, bad_ = 0;
  std::optional<std::int32_t> step_;  ///< of what has no time
  bool cut_ = false;
};

void ExecutionTrace::read() {
  if (!window_.take('{')) throw Error(ErrorKind::kParse, source_.path() + ": not an execution trace");
  read_object();
  finish();
}

void ExecutionTrace::read_object() {
  std::string key, value;
  if (window_.take('}')) return;
  do {
    if (!window_.text(key) || !window_.take(':')) break;
    if (key == "nodes" && window_.take('[')) {
      read_nodes();
    } else if (key == "schema" && window_.text(value)) {
      writer_.facts(rank_).version = value;
    } else if (!window_.skip()) {
      break;
    }
    if (cut_ || source_.cancelled()) return;
  } while (window_.take(','));
  cut_ = !window_.take('}');
}

void ExecutionTrace::read_nodes() {
  std::string text;
  if (window_.take(']')) return;
  do {
    if (source_.cancelled()) return;
    if (!window_.value(text)) {
      cut_ = true;
      return;
    }
    const json node = json::parse(text, nullptr, false);
    if (node.is_object() && node.contains("name") && node["name"].is_string()) {
      take(node);
    } else {
      ++bad_;
    }
  } while (window_.take(','));
  cut_ = !window_.take(']');
}

/// "## process_group:init ##": a list of the groups, as a text among the arguments.
void ExecutionTrace::take_groups(const json& node) {
  const auto inputs = node.find("inputs");
  if (inputs == node.end() || !inputs->is_object() || !inputs->contains("values") || !(*inputs)["values"].is_array())
    return;
  for (const json& value : (*inputs)["values"]) {
    const json groups = value.is_string() ? json::parse(value.get<std::string>(), nullptr, false) : json();
    if (!groups.is_array()) continue;
    for (const json& group : groups) {
      if (!group.is_object() || !group.contains("ranks") || !group["ranks"].is_array() || group["ranks"].empty())
        continue;
      const std::string name = text_in(group, "pg_name");
      if (group_ranks_.size() < 4096 && group["ranks"].size() < 65536) group_ranks_[name] = group["ranks"].dump();
    }
  }
}

void ExecutionTrace::take(const json& node) {
  ++nodes_;
  const std::string name = node["name"].get<std::string>();
  if (name.starts_with("[pytorch|profiler|")) return;  // roots: a process, a thread
  if (name.find("process_group:init") != std::string::npos) return take_groups(node);
  const std::string category = text_in(node, "cat");
  const bool on_device =
      category == "kernel" || category.starts_with("gpu_") || member(node, "stream").is_number_integer();
  if (const auto step = step_name(name); step && !on_device) {
    step_ = static_cast<std::int32_t>(step->number);
    const auto start = time_in(node, "ts"), duration = time_in(node, "dur");
    if (start && duration) writer_.step(rank_, step->number, *start, *duration, step->priority);
  }
  place(node, op(node, name, on_device), on_device);
}

std::int32_t ExecutionTrace::op(const json& node, const std::string& name, bool on_device) {
  std::string called = text_in(node, "collective_name");
  const bool parameters = name == "record_param_comms";
  if (called.empty() && parameters) called = collective_in_arguments(node);
  if (called.empty() && on_device && is_nccl_kernel(name)) called = name;
  const std::string_view kind = collective_kind(called);
  ForeignOp op{.kind = on_device ? "kernel" : "cpu_op", .name = name, .lane = kHostApiLane};
  if (on_device) op.lane = "compute";
  ForeignCollective collective;
  const std::string dtype = text_in(node, "dtype"), group = text_in(node, "pg_name"), about = text_in(node, "pg_desc");
  const auto ranks = group_ranks_.find(group);
  if (!called.empty()) {
    op.kind = kind.empty() ? std::string_view("collective") : kind;
    op.lane = lane_of_collective(op.kind);
    collective.group = group;
    collective.description = about;
    collective.dtype = dtype;
    collective.ranks = integer_in(node, "pg_size").value_or(0);
    collective.elements_in = std::max<std::int64_t>(integer_in(node, "in_msg_nelems").value_or(-1), -1);
    collective.elements_out = std::max<std::int64_t>(integer_in(node, "out_msg_nelems").value_or(-1), -1);
    collective.bytes = collective_bytes(collective.elements_in, collective.elements_out, dtype);
    if (ranks != group_ranks_.end()) collective.group_ranks = ranks->second;
    op.bytes = collective.bytes;
    op.collective = &collective;
  }
  return writer_.op(rank_, op);
}

int ExecutionTrace::track(const json& node, bool on_device) {
  if (on_device) {
    return writer_.track(rank_, "gpu0 stream " + std::to_string(integer_in(node, "stream").value_or(0)),
                         TrackKind::kDevice);
  }
  return writer_.track(rank_, "thread " + std::to_string(integer_in(node, "tid").value_or(0)), TrackKind::kHost);
}

void ExecutionTrace::place(const json& node, std::int32_t op, bool on_device) {
  const auto start = time_in(node, "ts");
  auto duration = time_in(node, "dur");
  if (!duration) duration = time_in(node, "inclusive_dur");
  ForeignSlice slice{.op = op};
  if (start && duration && *duration >= 0) {
    slice.start_ns = *start;
    slice.duration_ns = *duration;
  } else {
    slice.start_ns = nodes_;  // its number: the order is all that is known
    slice.step = step_.value_or(-1);
    ++untimed_;
  }
  if (const auto id = integer_in(node, "correlation"); id && *id > 0) slice.correlation = *id;
  writer_.slice(rank_, track(node, on_device), slice);
}

void ExecutionTrace::finish() {
  writer_.set_count(rank_, "events", nodes_);
  const auto say = [&](std::int64_t count, const char* kind, const char* text) {
    if (count > 0) writer_.diagnostic(rank_, kind, text, count);
  };
  say(untimed_, "no_times",
      "an execution trace has the order of operators, not their times: each stands at its number, 1 ns apart, and "
      "takes "
      "none");
  say(bad_, "bad_event", "nodes that are not sound JSON, or have no name, were not kept");
  if (source_.cancelled()) return;
  const bool broken = !source_.broken().empty();
  say(cut_ || broken ? 1 : 0, "truncated", "the file ends in the middle; what comes before is here");
  if (nodes_ == 0) throw Error(ErrorKind::kParse, source_.path() + ": an execution trace without a node");
}

bool recognises(const ImportSource& source) {
  const std::string_view head = source.head();
  const std::size_t first = head.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (first == std::string_view::npos || head[first] != '{') return false;
  const auto has = [&](std::string_view text) { return head.find(text) != std::string_view::npos; };
  return has("\"schema\"") && has("\"nodes\"") && (has("\"ctrl_deps\"") || has("\"rf_id\""));
}

void import_execution_trace(ImportSource& source, ImportWriter& writer) { ExecutionTrace(source, writer).read(); }

}  // namespace

extern const Importer kExecutionTraceImporter;
const Importer kExecutionTraceImporter = {"execution_trace", "PyTorch execution trace (ExecutionTraceObserver), JSON",
                                          recognises, import_execution_trace};

}  // namespace shardscope
