// PyTorch's NCCL flight recorder: the last collectives of one rank as its dump (a pickle) has them, most often written
// because they hang. The states and numbers go to collective_call, and what of it has times to the timeline; which
// ranks the others wait for is found when all files are in (hang_finder.h). Source:
// torch/csrc/distributed/c10d/FlightRecorder.hpp. Starts and ends are when the watchdog saw them.

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "core/error.h"
#include "profiler/import/data_pickle.h"
#include "profiler/import/importer.h"
#include "profiler/import/names.h"

namespace shardscope {
namespace {

constexpr std::int64_t kYear2001 = 1'000'000'000'000'000'000;  ///< ns since 1970
constexpr std::int64_t kLastTime = std::int64_t{1} << 61;      ///< the year 2043

struct Group {
  std::string ranks;  ///< "[0, 1]"
  std::int64_t size = 0;
};

struct Entry {
  std::string name, group, description, state, dtype;
  std::optional<std::int64_t> sequence, created_ns, start_ns, end_ns;
  std::int64_t elements_in = -1, elements_out = -1;
  bool to_one = false;  ///< a send or receive
};

/// A time since 1970, or nothing.
std::optional<std::int64_t> time_in(const PickleValue& record, std::string_view key) {
  const auto time = integer_in(record, key);
  return time && *time > 0 && *time < kLastTime ? time : std::nullopt;
}

/// Of "0" as of 0.
std::string text_or_number(const PickleValue& value) {
  if (const auto number = value.integer()) return std::to_string(*number);
  return value.text().value_or("");
}

class FlightDump {
 public:
  FlightDump(ImportSource& source, ImportWriter& writer) : source_(source), writer_(writer), pickle_(source) {}

  void read() {
    if (source_.cancelled()) return;
    const PickleValue root = pickle_.root();
    rank_ = writer_.add_rank({.file = source_.name(),
                              .format = "nccl_flight",
                              .tool = "PyTorch NCCL flight recorder",
                              .version = text_or_number(root["version"]),
                              .rank = rank_in_name(source_.name()),
                              .dump = !pickle_.cut_short()});  // else it is cut off somewhere, which is no hang
    if (pickle_.cut_short())
      writer_.diagnostic(rank_, "truncated", "the dump ends in the middle; nobody is blamed for what it lacks");
    read_groups(root["pg_config"]);
    const PickleValue entries = root.is(PickleNode::Kind::kList) ? root : root["entries"];
    pickle_.each(entries, [&](const PickleValue& entry) { find_last(entry); });
    pickle_.each(entries, [&](const PickleValue& entry) { take(entry); });
    if (entries_ == 0) throw Error(ErrorKind::kParse, source_.path() + ": a flight recorder's dump without an entry");
    writer_.set_count(rank_, "events", entries_);
    if (stacks_ > 0) writer_.loss(rank_, "frames", stacks_, "stack traces of collectives are not kept");
    if (writer_.first_ns(rank_).value_or(0) > kYear2001) writer_.facts(rank_).base_ns = 0;
  }

 private:
  void read_groups(const PickleValue& config);
  std::string ranks_in(const PickleValue& given);
  void find_last(const PickleValue& entry);
  void take(const PickleValue& entry);
  Entry read_entry(const PickleValue& given);
  std::int64_t elements(const PickleValue& sizes);
  void write(const Entry& entry);

  ImportSource& source_;
  ImportWriter& writer_;
  DataPickle pickle_;
  int rank_ = -1;
  std::unordered_map<std::string, Group> groups_;
  std::int64_t last_ns_ = 0;  ///< of all times: calls that have not ended are drawn until then
  std::int64_t entries_ = 0, stacks_ = 0;
};

/// The members, given as a text or as a list of numbers.
std::string FlightDump::ranks_in(const PickleValue& given) {
  if (const auto text = given.text()) return *text;
  std::string list;
  pickle_.each(given, [&](const PickleValue& rank) { list += (list.empty() ? "" : ", ") + text_or_number(rank); });
  return list.empty() ? list : "[" + list + "]";
}

void FlightDump::read_groups(const PickleValue& config) {
  pickle_.each_pair(config, [&](const PickleValue& key, const PickleValue& value) {
    if (!is_record(value)) return;
    Group group{ranks_in(value["ranks"]), 0};
    if (!group.ranks.empty()) group.size = 1 + std::count(group.ranks.begin(), group.ranks.end(), ',');
    if (text_in(value, "desc") == "default_pg") writer_.facts(rank_).world = group.size;
    groups_[text_or_number(key)] = group;
  });
}

void FlightDump::find_last(const PickleValue& entry) {
  if (!is_record(entry)) return;
  for (const char* key : {"time_created_ns", "time_discovered_started_ns", "time_discovered_completed_ns"})
    last_ns_ = std::max(last_ns_, time_in(entry, key).value_or(0));
}

void FlightDump::take(const PickleValue& entry) {
  if (!is_record(entry) || !entry["profiling_name"].text() || !time_in(entry, "time_created_ns")) {
    writer_.diagnostic(rank_, "bad_entry",
                       "entries without a readable profiling_name and time_created_ns were not kept");
    return;
  }
  ++entries_;
  if (entry["frames"].size() > 0) ++stacks_;
  write(read_entry(entry));
}

Entry FlightDump::read_entry(const PickleValue& given) {
  Entry entry;
  entry.name = text_in(given, "profiling_name");
  entry.state = text_in(given, "state");
  const PickleValue group = given["process_group"];  // (name, description)
  entry.group = group.size() > 0 ? text_or_number(group[0]) : text_or_number(given["pg_id"]);
  if (group.size() > 1) entry.description = group[1].text().value_or("");
  entry.to_one = integer_in(given, "is_p2p").value_or(0) != 0;
  entry.sequence = integer_in(given, entry.to_one ? "p2p_seq_id" : "collective_seq_id");
  if (!entry.sequence) entry.sequence = integer_in(given, "seq_id");  // until 2024
  entry.created_ns = time_in(given, "time_created_ns");
  entry.start_ns = time_in(given, "time_discovered_started_ns");
  entry.end_ns = time_in(given, "time_discovered_completed_ns");
  if (entry.state == "completed" && !entry.start_ns) entry.start_ns = entry.created_ns;  // it ended before it was seen
  entry.elements_in = elements(given["input_sizes"]);
  entry.elements_out = elements(given["output_sizes"]);
  const PickleValue types = given[given["input_dtypes"].size() > 0 ? "input_dtypes" : "output_dtypes"];
  entry.dtype = types.text().value_or(types[0].text().value_or(""));
  return entry;
}

/// Of all tensors together; -1 if the sizes do not say.
std::int64_t FlightDump::elements(const PickleValue& sizes) {
  std::int64_t sum = 0;
  bool good = sizes.size() > 0;
  pickle_.each(sizes, [&](const PickleValue& shape) {
    std::int64_t product = 1;
    good = good && shape.is(PickleNode::Kind::kList);
    pickle_.each(shape, [&](const PickleValue& length) {
      const auto n = length.integer();
      good = good && n && *n >= 0 && !__builtin_mul_overflow(product, *n, &product);
    });
    good = good && !__builtin_add_overflow(sum, product, &sum);
  });
  return good ? sum : -1;
}

void FlightDump::write(const Entry& entry) {
  std::string_view kind = collective_kind(entry.name);
  if (entry.to_one && kind != "send" && kind != "recv") kind = "send_recv";  // several of both
  if (kind.empty()) kind = "collective";
  const auto known = groups_.find(entry.group);
  const Group group = known == groups_.end() ? Group() : known->second;
  const ForeignCollective collective{.group = entry.group,
                                     .ranks = group.size,
                                     .bytes = collective_bytes(entry.elements_in, entry.elements_out, entry.dtype),
                                     .dtype = entry.dtype,
                                     .description = entry.description,
                                     .group_ranks = group.ranks,
                                     .elements_in = entry.elements_in,
                                     .elements_out = entry.elements_out};
  const std::int32_t op = writer_.op(
      rank_, {.kind = kind, .name = entry.name, .lane = lane_of_collective(kind), .collective = &collective});
  const std::string of = entry.description.empty() ? "" : " " + entry.description;
  const int track = writer_.track(rank_, "group " + entry.group + of, TrackKind::kOther);
  const std::int64_t start = entry.start_ns.value_or(*entry.created_ns), end = entry.end_ns.value_or(last_ns_);
  if (end < start) {
    writer_.diagnostic(rank_, "invalid_time", "collectives that end before they start are not in the timeline");
  } else {
    writer_.slice(rank_, track, {.op = op, .start_ns = start, .duration_ns = end - start});
  }
  writer_.call(rank_, {.op = op,
                       .sequence = entry.sequence,
                       .created_ns = entry.created_ns,
                       .start_ns = entry.start_ns,
                       .end_ns = entry.end_ns,
                       .state = entry.state,
                       .track = track});
}

bool recognises(const ImportSource& source) {
  return is_pickle_with(source, "profiling_name") || is_pickle_with(source, "pg_config");
}

void import_flight(ImportSource& source, ImportWriter& writer) { FlightDump(source, writer).read(); }

}  // namespace

extern const Importer kNcclFlightImporter;
const Importer kNcclFlightImporter = {"nccl_flight", "PyTorch NCCL flight recorder dump, one for each rank", recognises,
                                      import_flight};

}  // namespace shardscope
