// A Machine as JSON: units in the key names, curves as [x, y] pairs.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/spec/json_reader.h"
#include "simulator/cost/op_family.h"
#include "simulator/machine.h"

namespace shardscope {

namespace {

using nlohmann::ordered_json;

constexpr std::string_view kFormat = "shardscope machine 1";
constexpr IntegerRange kThreads{1, 65536};
constexpr RealRange kPositive{0, 1e30, true, false};
constexpr RealRange kNotNegative{0, 1e30};

// ---------------------------------------------------------------- writing

ordered_json curve_json(const Curve& curve) {
  ordered_json points = ordered_json::array();
  for (const CurvePoint& p : curve.points()) points.push_back({p.x, p.y});
  return points;
}

ordered_json family_json(const FamilyCurve& f) {
  return {{"family", f.family}, {"threads", f.threads}, {"work_seconds", curve_json(f.seconds)}};
}

ordered_json matmul_json(const MatMulPoint& p) {
  return {{"threads", p.threads},
          {"m", p.m},
          {"n", p.n},
          {"k", p.k},
          {"trans_a", p.trans_a},
          {"trans_b", p.trans_b},
          {"accumulate", p.accumulate},
          {"dtype", to_string(p.dtype)},
          {"seconds", p.seconds}};
}

ordered_json attention_json(const AttentionPoint& p) {
  return {{"threads", p.threads}, {"backward", p.backward}, {"batch", p.batch},       {"seq", p.seq},
          {"heads", p.heads},     {"kv_heads", p.kv_heads}, {"head_dim", p.head_dim}, {"dtype", to_string(p.dtype)},
          {"seconds", p.seconds}};
}

ordered_json collective_json(const CollectiveCurve& c) {
  return {{"op", c.op}, {"ranks", c.ranks}, {"bytes_seconds", curve_json(c.seconds)}};
}

ordered_json drive_json(const Drive& d) {
  return {{"read_bytes_seconds", curve_json(d.read)},
          {"write_bytes_seconds", curve_json(d.write)},
          {"together", d.together},
          {"cores", d.cores}};
}

template <class T, class F>
ordered_json list_json(const std::vector<T>& list, F&& to) {
  ordered_json items = ordered_json::array();
  for (const T& item : list) items.push_back(to(item));
  return items;
}

// One line per measurement: a machine file is read by people too.
std::string text_of(const ordered_json& root) {
  std::string text = "{\n";
  bool first = true;
  for (const auto& [key, value] : root.items()) {
    text += (first ? "  " : ",\n  ") + ordered_json(key).dump() + ": ";
    first = false;
    if (!value.is_array()) {
      text += value.dump();
      continue;
    }
    text += "[";
    for (std::size_t i = 0; i < value.size(); ++i) text += (i == 0 ? "\n    " : ",\n    ") + value[i].dump();
    text += "\n  ]";
  }
  return text + "\n}\n";
}

// ---------------------------------------------------------------- reading

double positive_item(const JsonReader& reader, const std::string& key, const JsonNode& item) {
  const std::optional<double> value = as_real(item);
  if (!value || !std::isfinite(*value) || *value <= 0) {
    reader.fail(key, "holds " + describe(item) + "; every x and y must be a positive finite number");
  }
  return *value;
}

Curve read_curve(const JsonReader& reader, const std::string& key) {
  const JsonNode* node = reader.find(key);
  if (node == nullptr || node->type != JsonNode::Type::kArray || node->items.empty()) {
    reader.fail(key, "must be a list of at least one [x, y] pair");
  }
  std::vector<CurvePoint> points;
  for (const JsonNode& pair : node->items) {
    if (pair.type != JsonNode::Type::kArray || pair.items.size() != 2) {
      reader.fail(key, "holds " + describe(pair) + " where an [x, y] pair must be");
    }
    points.push_back({positive_item(reader, key, pair.items[0]), positive_item(reader, key, pair.items[1])});
    if (points.size() > 1 && points[points.size() - 2].x >= points.back().x) {
      reader.fail(key, "must have rising x");
    }
  }
  return Curve(points);
}

int read_threads(const JsonReader& r) { return static_cast<int>(r.integer("threads", kThreads)); }

/// Files from before there was mixed precision do not say it.
DType read_dtype(const JsonReader& r) {
  const std::optional<DType> dtype = from_name<DType>(r.text("dtype", "f32"));
  if (!dtype) r.fail("dtype", "must be f32, bf16 or f16");
  return *dtype;
}

FamilyCurve read_family(const JsonReader& r) {
  r.refuse_unknown({"family", "threads", "work_seconds"});
  return {r.text("family"), read_threads(r), read_curve(r, "work_seconds")};
}

MatMulPoint read_matmul(const JsonReader& r) {
  r.refuse_unknown({"threads", "m", "n", "k", "trans_a", "trans_b", "accumulate", "dtype", "seconds"});
  return {read_threads(r),
          r.real("m", kPositive),
          r.real("n", kPositive),
          r.real("k", kPositive),
          r.boolean("trans_a", false),
          r.boolean("trans_b", false),
          r.boolean("accumulate", false),
          r.real("seconds", kPositive),
          read_dtype(r)};
}

AttentionPoint read_attention(const JsonReader& r) {
  r.refuse_unknown({"threads", "backward", "batch", "seq", "heads", "kv_heads", "head_dim", "dtype", "seconds"});
  return {read_threads(r),
          r.boolean("backward", false),
          r.real("batch", kPositive),
          r.real("seq", kPositive),
          r.real("heads", kPositive),
          r.real("kv_heads", kPositive),
          r.real("head_dim", kPositive),
          r.real("seconds", kPositive),
          read_dtype(r)};
}

CollectiveCurve read_collective(const JsonReader& r) {
  r.refuse_unknown({"op", "ranks", "bytes_seconds"});
  return {r.text("op"), static_cast<int>(r.integer("ranks", {2, 65536})), read_curve(r, "bytes_seconds")};
}

Drive read_drive(const JsonReader& r) {
  r.refuse_unknown({"read_bytes_seconds", "write_bytes_seconds", "together", "cores"});
  return {read_curve(r, "read_bytes_seconds"), read_curve(r, "write_bytes_seconds"), r.real("together", kPositive),
          r.real("cores", kNotNegative)};
}

template <class F>
auto read_list(const JsonReader& root, const std::string& key, F&& read) {
  std::vector<decltype(read(root))> list;
  const JsonNode* node = root.find(key);
  if (node == nullptr || node->type != JsonNode::Type::kArray || node->items.empty()) {
    root.fail(key, "must be a list with at least one measurement; run `shardscope calibrate` to write one");
  }
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    list.push_back(read(JsonReader(node->items[i], root.file(), key + "[" + std::to_string(i) + "]")));
  }
  return list;
}

// The cost model falls back on these where a family or an op was not measured.
void check_fallbacks(const JsonReader& root, const Machine& machine) {
  bool copy = false, gather = false, forward = false, backward = false;
  for (const FamilyCurve& f : machine.families) copy = copy || f.family == "copy";
  for (const CollectiveCurve& c : machine.collectives) gather = gather || c.op == "all_gather";
  for (const AttentionPoint& p : machine.attentions) (p.backward ? backward : forward) = true;
  if (!copy) root.fail("families", "must hold the family \"copy\"");
  if (!gather) root.fail("collectives", "must hold the op \"all_gather\"");
  if (!forward || !backward) root.fail("attentions", "must hold forward and backward measurements");
}

}  // namespace

std::string to_json(const Machine& m) {
  const ordered_json root{{"format", kFormat},
                          {"name", m.name},
                          {"calibrated", m.calibrated},
                          {"source", m.source},
                          {"cores", m.cores},
                          {"ranks_core_capacity", curve_json(m.core_capacity)},
                          {"ranks_crowded_meeting_s", curve_json(m.crowded_meeting)},
                          {"core_peak_flop_per_s", m.core_peak.value},
                          {"machine_peak_flop_per_s", m.machine_peak.value},
                          {"memory_bandwidth_bytes_per_s", m.memory_bandwidth.value},
                          {"cache_bytes", m.cache.value},
                          {"op_overhead_s", m.op_overhead.value},
                          {"wake_latency_s", m.wake_latency.value},
                          {"step_overhead_s", m.step_overhead.value},
                          {"families", list_json(m.families, family_json)},
                          {"matmuls", list_json(m.matmuls, matmul_json)},
                          {"attentions", list_json(m.attentions, attention_json)},
                          {"collectives", list_json(m.collectives, collective_json)},
                          {"drive", drive_json(m.drive)}};
  return text_of(root);
}

Machine parse_machine(std::string_view json_text, const std::string& file_name) {
  const JsonNode node = parse_json(json_text, file_name);
  const JsonReader root(node, file_name, "");
  root.refuse_unknown({"format", "name", "calibrated", "source", "cores", "ranks_core_capacity",
                       "ranks_crowded_meeting_s", "core_peak_flop_per_s", "machine_peak_flop_per_s",
                       "memory_bandwidth_bytes_per_s", "cache_bytes", "op_overhead_s", "wake_latency_s",
                       "step_overhead_s", "families", "matmuls", "attentions", "collectives", "drive"});
  if (root.text("format") != kFormat) root.fail("format", "must be \"" + std::string(kFormat) + "\"");
  Machine m;
  m.name = root.text("name", m.name);
  m.calibrated = root.boolean("calibrated", false);
  m.source = root.text("source", "");
  m.cores = static_cast<int>(root.integer("cores", kThreads));
  m.core_capacity = read_curve(root, "ranks_core_capacity");
  m.crowded_meeting = read_curve(root, "ranks_crowded_meeting_s");
  m.core_peak = FlopPerSecond(root.real("core_peak_flop_per_s", kPositive));
  m.machine_peak = FlopPerSecond(root.real("machine_peak_flop_per_s", kPositive));
  m.memory_bandwidth = BytesPerSecond(root.real("memory_bandwidth_bytes_per_s", kPositive));
  m.cache = Bytes(root.real("cache_bytes", kPositive));
  m.op_overhead = Seconds(root.real("op_overhead_s", kNotNegative));
  m.wake_latency = Seconds(root.real("wake_latency_s", kNotNegative));
  m.step_overhead = Seconds(root.real("step_overhead_s", kNotNegative));
  m.families = read_list(root, "families", read_family);
  m.matmuls = read_list(root, "matmuls", read_matmul);
  m.attentions = read_list(root, "attentions", read_attention);
  m.collectives = read_list(root, "collectives", read_collective);
  const auto drive = root.object("drive");
  m.drive = drive ? read_drive(*drive) : default_machine(m.cores).drive;
  check_fallbacks(root, m);
  return m;
}

Machine load_machine(const std::string& path) { return parse_machine(read_text_file(path), path); }

// Written beside its place first, so that a machine file that was there survives a full disk or Ctrl-C.
void save_machine(const Machine& machine, const std::string& path) {
  const std::string part = path + ".part";
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  file << to_json(machine);
  file.close();
  if (file && std::rename(part.c_str(), path.c_str()) == 0) return;
  std::remove(part.c_str());
  throw Error(ErrorKind::kIo, path + ": cannot write the machine file; is the folder there and writable?");
}

}  // namespace shardscope
