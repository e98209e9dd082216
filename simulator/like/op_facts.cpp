#include "simulator/like/op_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "core/error.h"
#include "core/program/lower.h"
#include "core/spec/hardware.h"
#include "core/spec/job.h"
#include "core/spec/json_reader.h"
#include "profiler/query/op_seconds.h"
#include "profiler/store/program_rows.h"
#include "simulator/analytic/constants.h"
#include "simulator/analytic/target.h"
#include "simulator/calibrate/cost_key.h"
#include "simulator/cost/cluster_costs.h"
#include "simulator/cost/host_costs.h"
#include "simulator/make_prediction.h"

namespace shardscope {
namespace {

constexpr std::int64_t kMostCores = 65536;

bool takes_no_time(const Op& op) {
  return std::holds_alternative<Alloc>(op) || std::holds_alternative<Free>(op) || std::holds_alternative<Hold>(op);
}

struct Recorded {
  Job job;
  std::optional<std::string> machine;  ///< file that the seconds are from, "": a guess; nothing: it is not said
  std::string cluster;                 ///< or this one's
  int cores = 0;                       ///< 0: not said
};

/// `train` writes the job into a record, simulated plans write it as it is.
Recorded read_job(const Profile& profile, std::int64_t run) {
  const std::string where = profile.path() + ": job_json";
  const JsonNode root = parse_json(job_record(profile, run), where);
  const JsonReader reader(root, where, "");
  Recorded recorded;
  const JsonNode* job = reader.find("job");
  if (job == nullptr && !reader.has("model"))
    throw Error(ErrorKind::kUnsupported, "the run was recorded without its job");
  recorded.job = parse_job(job != nullptr ? to_json_text(*job) : to_json_text(root), where, {});
  if (reader.has("machine")) recorded.machine = reader.text("machine");
  recorded.cluster = reader.text("cluster", "");
  if (reader.has("cores")) recorded.cores = static_cast<int>(reader.integer("cores", {1, kMostCores}));
  return recorded;
}

/// A file may claim any job: what is lowered must be about as large as the program that was recorded.
void check_size(const Job& job, std::int64_t ops) {
  const double blocks = static_cast<double>(job.model.layers) / std::max(1, job.parallel.pp),
               micro_batches = static_cast<double>(job.training.accumulation);
  if (blocks * micro_batches > static_cast<double>(ops))
    throw Error(ErrorKind::kUnsupported, "the run's job is not the one that was recorded");
}

struct RecordedProgram {
  std::int64_t hash = 0, ops = 0;
};

RecordedProgram program_of(const Profile& profile, std::int64_t run, int rank) {
  Rows rows =
      profile.rows("SELECT p.hash, p.ops FROM rank k JOIN program p ON p.id = k.program WHERE k.run = ? AND k.rank = ?",
                   {Value(run), Value(std::int64_t{rank})});
  if (!rows.next()) throw Error(ErrorKind::kConfig, fmt::format("the run has no rank {}", rank));
  return {rows.integer(0), rows.integer(1)};
}

/// Files that a profile names are read only if they are files, and no larger than such files are.
void check_file(const std::string& path) {
  constexpr std::uintmax_t kLargest = 64 << 20;
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error) && std::filesystem::file_size(path, error) <= kLargest) return;
  throw Error(ErrorKind::kConfig, path + ": what the run was predicted on is not there any more");
}

Machine machine_of(const Recorded& recorded) {
  if (recorded.machine->empty()) return default_machine(recorded.cores);
  check_file(*recorded.machine);
  return load_machine(*recorded.machine);
}

ClusterSpec cluster_of(const Recorded& recorded) {
  if (!names_catalog_cluster(recorded.cluster)) check_file(recorded.cluster);
  return load_cluster(default_catalog(), recorded.cluster);
}

/// Collects an op's operands and attributes, in the order of its fields().
class FieldReader {
 public:
  FieldReader(const Program& program, OpFacts& facts) : program_(program), facts_(facts) {}
  void buffer(const char* role, BufferId id) {
    if (id.valid()) add(role, program_.whole(id), false);
  }
  void group(const char*, GroupId) {}
  void read(const char* role, const Region& r) { add(role, r, false); }
  void write(const char* role, const Region& r) { add(role, r, true); }
  void update(const char* role, const Region& r) { add(role, r, true); }
  void write_or_update(const char* role, const Region& r, bool) { add(role, r, true); }
  void attr(const char* name, bool value) {
    if (value) say(name);
  }
  template <class Value>
  void attr(const char* name, Value value) {
    if constexpr (std::is_arithmetic_v<Value>) {
      say(fmt::format("{} {}", name, value));
    } else {
      say(fmt::format("{} {}", name, to_string(value)));
    }
  }

 private:
  void add(const char* role, const Region& r, bool written) {
    if (r.empty()) return;
    const Buffer& b = program_.buffer(r.buffer);
    facts_.operands.push_back(
        {role, b.name, fmt::format("{} [{}]", to_string(b.dtype), r.count), program_.bytes(r), written});
  }
  void say(const std::string& text) { facts_.sizes += (facts_.sizes.empty() ? "" : ", ") + text; }
  const Program& program_;
  OpFacts& facts_;
};

void set_shape(const Program& program, OpFacts& facts, const char* role, const Region& r, std::int64_t rows,
               std::int64_t columns) {
  for (OperandFact& operand : facts.operands) {
    if (operand.role == role)
      operand.shape = fmt::format("{} [{}, {}]", to_string(program.buffer(r.buffer).dtype), rows, columns);
  }
}

void add_operands(const Program& program, const Op& op, OpFacts& facts) {
  std::visit(
      [&](const auto& o) {
        FieldReader reader(program, facts);
        std::decay_t<decltype(o)>::fields(o, reader);
      },
      op);
  if (const auto* o = std::get_if<MatMul>(&op)) {
    set_shape(program, facts, "a", o->a, o->trans_a ? o->k : o->m, o->trans_a ? o->m : o->k);
    set_shape(program, facts, "b", o->b, o->trans_b ? o->n : o->k, o->trans_b ? o->k : o->n);
    set_shape(program, facts, "c", o->c, o->m, o->n);
  }
}

/// Ops whose end an instruction waits for: those it names, and the one before it on its lane.
std::vector<std::size_t> needs_of(const Program& program, std::size_t index) {
  const Instruction& in = program.instructions[index];
  std::vector<std::size_t> needs;
  for (OpId id : in.after) needs.push_back(static_cast<std::size_t>(id.index));
  for (std::size_t i = index; i-- > 0;) {
    if (program.instructions[i].lane != in.lane || takes_no_time(program.instructions[i].op)) continue;
    needs.push_back(i);
    break;
  }
  return needs;
}

void add_flow(const Program& program, std::size_t index, int depth, OpFacts& facts) {
  std::vector<std::size_t> wave{index};
  std::set<std::size_t> seen{index};
  for (int level = 0; level < depth; ++level) {
    std::vector<std::size_t> next;
    for (std::size_t to : wave) {
      for (std::size_t from : needs_of(program, to)) {
        facts.flow.push_back({static_cast<std::int32_t>(from), static_cast<std::int32_t>(to)});
        if (seen.insert(from).second) next.push_back(from);
      }
    }
    wave = std::move(next);
  }
}

void add_parts(const Cost& cost, const std::string& source, OpFacts& facts) {
  const std::pair<const char*, Seconds> parts[] = {
      {"arithmetic", cost.compute}, {"memory", cost.memory}, {"latency", cost.latency}, {"link", cost.link}};
  for (const auto& [what, seconds] : parts) {
    if (seconds.value > 0) facts.parts.push_back({what, seconds.value, "s", source});
  }
}

/// Of ranks that are threads of one machine.
void add_machine_cost(const Machine& machine, const Program& program, const Instruction& in, OpFacts& facts) {
  const HostCosts costs(machine, program.world);
  const std::optional<CostPlace> place = cost_place(program, in, costs);
  const std::string model = place ? place->key.text() : "between two measured kinds of op";
  add_parts(costs.cost(program, in).seconds, fmt::format("{}, of {}", model, machine.name), facts);
  const auto constant = [&](const char* what, double value, const char* unit) {
    facts.constants.push_back({what, value, unit, machine.source});
  };
  constant("op_overhead", machine.op_overhead.value, "s");
  constant("memory_bandwidth", machine.memory_bandwidth.value, "B/s");
  facts.peak_flops = machine.peak_per_rank(program.world).value;
  facts.bandwidth = machine.memory_bandwidth.value / std::max(1, program.world);
  facts.bandwidth_source = fmt::format("memory_bandwidth / {} ranks: {}", program.world, machine.source);
}

/// Constants of the table that an op of that kind asks for.
bool is_asked(const Constant& c, const Op& op, Lane lane) {
  const bool communicates = is_communication(op);
  if (c.scope == "fabric") return communicates;
  if (c.scope == "framework") return communicates && c.name == "collective_us";
  const auto any = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return c.name == name; });
  };
  if (communicates) return any({"link_efficiency", "link_latency_us", "link_hop_us", "interference"});
  if (lane != Lane::kCompute) return any({"pcie_efficiency"});
  const auto* product = std::get_if<MatMul>(&op);
  if (product != nullptr && product->in_fp8() && c.name == "memory_efficiency") return true;  // its casts
  if (product != nullptr)
    return any({"matmul_efficiency", "fp8_efficiency", "tile_overhead", "wave_rounding", "kernel_us"});
  if (std::holds_alternative<Attention>(op)) return any({"attention_efficiency", "kernel_us"});
  if (std::holds_alternative<AttentionBackward>(op))
    return any({"attention_efficiency", "attention_backward", "kernel_us"});
  return any({"memory_efficiency", "kernel_us"});
}

void add_cluster_cost(const ClusterSpec& cluster, const Program& program, const Instruction& in, OpFacts& facts) {
  const ClusterCosts costs(cluster);
  const Target target = target_of(cluster);
  add_parts(costs.cost(program, in).seconds, fmt::format("{} of {}", cluster.device.name, cluster.name), facts);
  for (const Constant& c : constants_in_use(default_constants(), target.gpu, target.fabric.name, "shardscope")) {
    if (is_asked(c, in.op, in.lane))
      facts.constants.push_back({fmt::format("{} {} {}", c.scope, c.owner, c.name), c.value, c.unit, c.source});
  }
  const auto* product = std::get_if<MatMul>(&in.op);
  facts.peak_flops = product != nullptr && product->in_fp8() ? cluster.device.fp8_peak.value
                                                             : costs.peak_per_rank(model_dtype(program)).value;
  facts.bandwidth = target.gpu.memory_bandwidth.value;
  facts.bandwidth_source = cluster.name;
  for (const auto& [key, source] : target.gpu.sources) {
    if (key.find("memory_bandwidth") != std::string::npos) facts.bandwidth_source = source;
  }
}

void add_cost(const Recorded& recorded, const Program& program, const Instruction& in, OpFacts& facts) {
  if (takes_no_time(in.op)) return;
  try {
    if (!recorded.cluster.empty()) return add_cluster_cost(cluster_of(recorded), program, in, facts);
    if (!recorded.machine) throw Error(ErrorKind::kUnsupported, "the run does not say what it was predicted on");
    add_machine_cost(machine_of(recorded), program, in, facts);
  } catch (const Error& error) {  // the file of the machine is gone, say
    facts.constants.push_back({"cost", 0, "", std::string("not known: ") + error.what()});
  }
}

}  // namespace

OpFacts op_facts(const Profile& profile, std::int64_t run, int rank, int op, int flow_depth) {
  OpFacts facts;
  try {
    const Recorded recorded = read_job(profile, run);
    const RecordedProgram known = program_of(profile, run, rank);
    check_size(recorded.job, known.ops);
    const Program program = lower(recorded.job, rank);
    if (hash_of(op_records(program)) != known.hash)
      throw Error(ErrorKind::kUnsupported, "another version recorded the run: its job gives another program here");
    const auto index = static_cast<std::size_t>(op);
    if (op < 0 || index >= program.instructions.size())
      throw Error(ErrorKind::kConfig, fmt::format("the program has no op {}", op));
    const Instruction& in = program.instructions[index];
    add_operands(program, in.op, facts);
    add_flow(program, index, flow_depth, facts);
    add_cost(recorded, program, in, facts);
  } catch (const Error& error) {
    facts = {};
    facts.problem = error.what();
  }
  return facts;
}

}  // namespace shardscope
