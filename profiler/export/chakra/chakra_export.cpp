// A step as Chakra execution traces, one file a rank, for network simulators: PREFIX.RANK.et, and the groups of ranks
// in PREFIX.comm_groups.json, as ASTRA-sim reads them. A node is an execution; it waits for the one before it on its
// track, and for what else it needs: in runs of ours what the program says, in others what times say (see
// after_by_time).

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "profiler/export/exporter.h"
#include "profiler/export/run_reader.h"
#include "profiler/import/chakra/chakra_node.h"
#include "profiler/query/op_order.h"
#include "profiler/store/levels.h"

namespace shardscope {
namespace {

using nlohmann::json;

struct Placed {
  ExportSlice slice;
  std::size_t track = 0;
};

/// Groups of all ranks by name and members, numbered from 1: ASTRA-sim's names of groups are numbers.
class Groups {
 public:
  /// Nothing for the group of all ranks, or one that nobody names the ranks of.
  std::optional<std::string> number(const std::string& name, const std::string& ranks) {
    if (ranks.empty()) return std::nullopt;
    const auto [known, is_new] = numbers_.try_emplace({name, ranks}, numbers_.size() + 1);
    return std::to_string(known->second);
  }
  std::string as_json() const {
    json all = json::object();
    for (const auto& [group, number] : numbers_) {
      const json ranks = json::parse(group.second, nullptr, false);
      if (ranks.is_array()) all[std::to_string(number)] = ranks;
    }
    return all.dump() + "\n";
  }

 private:
  std::map<std::pair<std::string, std::string>, std::size_t> numbers_;
};

/// Nodes of one rank, in order of their start.
class RankNodes {
 public:
  RankNodes(const RunReader& reader, const ExportRank& rank, Groups& groups)
      : reader_(reader), rank_(rank), groups_(groups), ops_(reader.ops(rank)) {
    for (const ExportGroup& group : reader.groups(rank.rank)) members_[group.name] = group.ranks;
    named_ = reader.group_ranks(rank);
  }
  void write(TextFile& out, std::optional<ExportStep> step, std::int64_t origin_ns);

 private:
  void collect(const std::optional<ExportStep>& step);
  ChakraNode node_of(const Placed& placed) const;
  void describe_communication(const ExportOp& op, std::int64_t index, ChakraNode& node) const;
  std::string ranks_of(const ExportOp& op, std::int64_t index) const;
  void link(const Placed& placed, ChakraNode& node);
  void after_by_time(const Placed& placed, ChakraNode& node) const;

  const RunReader& reader_;
  const ExportRank rank_;
  Groups& groups_;
  std::vector<ExportOp> ops_;
  std::map<std::string, std::string> members_;  ///< of groups, by name
  std::map<std::int64_t, std::string> named_;   ///< of groups, by op
  OpOrder order_;
  std::vector<ExportTrack> tracks_;
  std::vector<Placed> slices_;
  std::int64_t origin_ns_ = 0;
  // while nodes are written
  std::map<std::size_t, std::uint64_t> last_of_track_;
  std::map<std::int64_t, std::uint64_t> node_of_op_;
  std::vector<std::pair<std::int64_t, std::uint64_t>> ends_;  ///< of nodes, by id
};

bool is_work(const ExportOp& op) {
  const WorkClass work = work_class(op.lane, op.phase, op.communication);
  return work != WorkClass::kHostApi && work != WorkClass::kOther && work != WorkClass::kWait;
}

void RankNodes::collect(const std::optional<ExportStep>& step) {
  tracks_ = reader_.tracks(rank_.rank);
  // Of imported runs the streams: what else there is says the same again.
  const auto is_stream = [](const ExportTrack& track) { return track.name.find("gpu") != std::string::npos; };
  const bool streams = std::any_of(tracks_.begin(), tracks_.end(), is_stream);
  for (std::size_t t = 0; t < tracks_.size(); ++t) {
    if (streams && !is_stream(tracks_[t])) continue;
    reader_.slices(tracks_[t], [&](const ExportSlice& slice) {
      const auto op = static_cast<std::size_t>(slice.op);
      if ((step && slice.step != step->step) || op >= ops_.size() || !is_work(ops_[op])) return;
      slices_.push_back({slice, t});
    });
  }
  std::stable_sort(slices_.begin(), slices_.end(),
                   [](const Placed& a, const Placed& b) { return a.slice.start_ns < b.slice.start_ns; });
  std::set<std::int32_t> worked;
  for (const Placed& placed : slices_) worked.insert(placed.slice.op);
  order_ = reader_.order(rank_.rank, [&](std::int32_t op) { return worked.count(op) != 0; });
}

std::string RankNodes::ranks_of(const ExportOp& op, std::int64_t index) const {
  if (const auto named = named_.find(index); named != named_.end()) return named->second;
  const auto known = members_.find(op.group);
  return known == members_.end() ? std::string() : known->second;
}

void RankNodes::describe_communication(const ExportOp& op, std::int64_t index, ChakraNode& node) const {
  const std::string ranks = ranks_of(op, index);
  node.attributes["comm_size"] = op.collective_bytes != 0 ? op.collective_bytes : op.bytes;
  node.attributes["shardscope_group"] = op.group;
  node.attributes["shardscope_group_size"] = op.group_size;
  if (!ranks.empty()) node.attributes["shardscope_group_ranks"] = ranks;
  if (const auto group = groups_.number(op.group, ranks)) node.attributes["pg_name"] = *group;
  if (op.kind != "send" && op.kind != "recv") {
    node.type = ChakraType::kCollective;
    // A ring's shift, NCCL's grouped sends: what each rank sends and gets is what an all-to-all of pairs moves.
    node.attributes["comm_type"] = chakra_collective(op.kind).value_or(*chakra_collective("all_to_all"));
    return;
  }
  const auto found = order_.transfers.find(static_cast<std::int32_t>(index));
  if (found == order_.transfers.end()) return;  // stays work of that length
  const auto [peer, sends, back] = found->second;
  node.type = sends ? ChakraType::kSend : ChakraType::kReceive;
  node.attributes["comm_src"] = std::int64_t{sends ? rank_.rank : peer};
  node.attributes["comm_dst"] = std::int64_t{sends ? peer : rank_.rank};
  node.attributes["comm_tag"] = std::int64_t{back ? 1 : 0};  // what goes the other way between the same two is another
}

ChakraNode RankNodes::node_of(const Placed& placed) const {
  const ExportSlice& s = placed.slice;
  const ExportOp& op = ops_[static_cast<std::size_t>(s.op)];
  ChakraNode node;
  node.name = op.name.empty() ? op.kind : op.name;
  node.type = ChakraType::kCompute;
  if (op.lane == to_string(Lane::kH2D) || op.lane == to_string(Lane::kNvmeRead)) node.type = ChakraType::kMemoryLoad;
  if (op.lane == to_string(Lane::kD2H) || op.lane == to_string(Lane::kNvmeWrite)) node.type = ChakraType::kMemoryStore;
  node.start_us = static_cast<std::uint64_t>(std::max<std::int64_t>(s.start_ns - origin_ns_, 0)) / 1000;
  node.duration_us = static_cast<std::uint64_t>(std::max<std::int64_t>(s.duration_ns, 0) + 500) / 1000;
  auto& a = node.attributes;
  a["is_cpu_op"] = false;
  if (op.flops > 0) a["num_ops"] = static_cast<std::int64_t>(op.flops);
  a["tensor_size"] = op.bytes;
  a["shardscope_start_ns"] = s.start_ns - origin_ns_;
  a["shardscope_duration_ns"] = s.duration_ns;
  if (s.wait_ns != 0) a["shardscope_wait_ns"] = s.wait_ns;
  if (s.step >= 0) a["shardscope_step"] = std::int64_t{s.step};
  a["shardscope_kind"] = op.kind;
  a["shardscope_name"] = op.name;
  a["shardscope_lane"] = op.lane;
  if (!op.phase.empty()) a["shardscope_phase"] = op.phase;
  a["shardscope_bytes"] = op.bytes;
  a["shardscope_track"] = tracks_[placed.track].name;
  if (op.communication) describe_communication(op, s.op, node);
  return node;
}

/// Of runs of others: after whatever ended last before it began, if its own track had nothing to do then.
void RankNodes::after_by_time(const Placed& placed, ChakraNode& node) const {
  const std::int64_t start = placed.slice.start_ns;
  const auto before = last_of_track_.find(placed.track);
  std::int64_t best = before == last_of_track_.end() ? INT64_MIN : ends_[before->second].first;
  std::optional<std::uint64_t> cause;
  for (const auto& [track, id] : last_of_track_) {
    const std::int64_t end = ends_[id].first;
    if (track == placed.track || end > start || end <= best) continue;
    best = end;
    cause = id;
  }
  if (cause) node.data_after.push_back(*cause);
}

void RankNodes::link(const Placed& placed, ChakraNode& node) {
  if (const auto last = last_of_track_.find(placed.track); last != last_of_track_.end())
    node.data_after.push_back(last->second);
  if (order_.after.empty()) {
    after_by_time(placed, node);
  } else {
    for (const std::int32_t op : order_.after[static_cast<std::size_t>(placed.slice.op)]) {
      const auto id = node_of_op_.find(op);
      if (id != node_of_op_.end()) node.data_after.push_back(id->second);
    }
  }
  std::sort(node.data_after.begin(), node.data_after.end());
  node.data_after.erase(std::unique(node.data_after.begin(), node.data_after.end()), node.data_after.end());
}

void RankNodes::write(TextFile& out, std::optional<ExportStep> step, std::int64_t origin_ns) {
  origin_ns_ = origin_ns;
  collect(step);
  out.text(encode_metadata());
  ChakraNode about;
  about.name = "shardscope";
  about.type = ChakraType::kMetadata;
  if (step) {
    about.attributes["shardscope_step"] = std::int64_t{step->step};
    about.attributes["shardscope_start_ns"] = step->start_ns - origin_ns;
    about.attributes["shardscope_duration_ns"] = step->duration_ns;
  }
  out.text(encode(about));
  ends_.emplace_back(INT64_MIN, 0);
  for (const Placed& placed : slices_) {
    ChakraNode node = node_of(placed);
    node.id = ends_.size();
    link(placed, node);
    out.text(encode(node));
    last_of_track_[placed.track] = node.id;
    node_of_op_[placed.slice.op] = node.id;
    ends_.emplace_back(placed.slice.start_ns + placed.slice.duration_ns, node.id);
  }
}

/// The step of each rank: the one asked for, or the last that all have; none if the run has no steps.
std::map<int, ExportStep> steps_of(const RunReader& reader, const RunRow& run, std::optional<int> wanted) {
  std::map<int, std::map<int, ExportStep>> all;  // by step, then rank
  const std::vector<ExportRank> ranks = reader.ranks();
  for (const ExportRank& rank : ranks)
    reader.steps(rank.rank, [&](const ExportStep& step) { all[step.step][rank.rank] = step; });
  if (wanted) {
    const auto found = all.find(*wanted);
    if (found == all.end())
      throw Error(ErrorKind::kConfig, "run " + run.name + ": has no step " + std::to_string(*wanted));
    return found->second;
  }
  for (auto step = all.rbegin(); step != all.rend(); ++step) {
    if (step->second.size() == ranks.size()) return step->second;
  }
  return {};
}

void write_all(const Profile& profile, const RunRow& run, const ExportOptions& options, const std::string& path,
               std::vector<std::string>& written) {
  const RunReader reader(profile, run.id, path);
  std::map<int, ExportStep> steps = steps_of(reader, run, options.step);
  std::int64_t origin = steps.empty() ? 0 : INT64_MAX;
  for (const auto& [rank, step] : steps) origin = std::min(origin, step.start_ns);
  Groups groups;
  const auto file = [&](const std::string& name, const auto& write) {
    written.push_back(name);
    TextFile out(name);
    write(out);
    out.finish();
  };
  for (const ExportRank& rank : reader.ranks()) {
    const auto step = steps.find(rank.rank);
    if (!steps.empty() && step == steps.end()) continue;
    file(path + "." + std::to_string(rank.rank) + ".et", [&](TextFile& out) {
      RankNodes(reader, rank, groups)
          .write(out, step == steps.end() ? std::nullopt : std::optional(step->second), origin);
    });
  }
  file(path + ".comm_groups.json", [&](TextFile& out) { out.text(groups.as_json()); });
}

void write_chakra(const Profile& profile, const RunRow& run, const ExportOptions& options, const std::string& path) {
  std::vector<std::string> written;
  try {
    write_all(profile, run, options, path, written);
  } catch (const Error&) {
    for (const std::string& name : written) {
      std::error_code ignored;
      std::filesystem::remove(name, ignored);
    }
    throw;
  }
}

}  // namespace

extern const Exporter kChakraExporter;
const Exporter kChakraExporter = {"chakra", "", "a step as Chakra execution traces, for network simulators", true,
                                  write_chakra};

}  // namespace shardscope
