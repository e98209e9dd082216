#include "profiler/import/import_writer.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>

#include "core/check.h"
#include "profiler/import/import_state.h"
#include "profiler/store/open_store.h"

namespace shardscope {
namespace {

constexpr std::int64_t kLargestTime = std::int64_t{1} << 61;  ///< 73 years; sums of two do not overflow
constexpr std::size_t kMostOps = 150'000, kMostCalls = 1'000'000, kMostSteps = 1'000'000, kMostDevices = 4096,
                      kMostTracks = 20'000, kMostKinds = 200, kMostSamples = 1'000'000, kMostIds = 1'000'000;

bool is_time(std::int64_t ns) { return ns > -kLargestTime && ns < kLargestTime; }

/// Length of a good UTF-8 sequence at the front; 0 if it is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) >= 0xa0) return 0;  // a half of a surrogate pair
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) >= 0x90) return 0;
  return length;
}

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < '\x7f'; });
}

std::string cleaned(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const bool shown = length > 1 || (length == 1 && text[0] >= ' ' && text[0] != '\x7f');
    out += shown ? text.substr(0, length) : std::string_view("?");
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

/// At most `longest` bytes, not in the middle of a character.
std::string_view cut(std::string_view text, std::size_t longest) {
  if (text.size() <= longest) return text;
  while (longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xc0) == 0x80) --longest;
  return text.substr(0, longest);
}

/// All that an op is, as bytes to hash; `bytes` is room that is used again, since this is done for every event.
class OpKey {
 public:
  OpKey(const ForeignOp& op, std::string& bytes) : bytes_(bytes) {
    bytes_.clear();
    for (std::string_view text : {op.kind, op.name, op.lane, op.phase}) add(text);
    add(std::bit_cast<std::int64_t>(op.flops));
    add(op.bytes);
    add(op.launch != nullptr ? 1 : 0);
    if (op.launch != nullptr) add(*op.launch);
    if (op.collective != nullptr) add(*op.collective);
  }
  std::uint64_t hash() const { return XXH3_64bits(bytes_.data(), bytes_.size()); }

 private:
  void add(std::string_view text) {
    add(static_cast<std::int64_t>(text.size()));
    bytes_ += text;
  }
  void add(std::int64_t value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void add(const ForeignLaunch& l) {
    for (int i = 0; i < 3; ++i) add(l.grid[i]), add(l.block[i]);
    add(l.registers), add(l.shared_bytes);
  }
  void add(const ForeignCollective& c) {
    for (std::string_view text :
         {c.group, c.dtype, c.description, c.group_ranks, c.split_in, c.split_out, c.algorithm, c.protocol})
      add(text);
    for (std::int64_t value : {c.ranks, c.bytes, c.elements_in, c.elements_out, c.peer, c.channels}) add(value);
  }
  std::string& bytes_;
};

}  // namespace

std::int32_t TextPool::id(std::string_view text) {
  text = cut(text, kLongest);
  if (const auto known = ids_.find(text); known != ids_.end()) return known->second;
  std::string kept = is_plain(text) ? std::string(text) : cleaned(text);
  if (const auto known = ids_.find(kept); known != ids_.end()) return known->second;
  if (is_full()) kept = "(further names)";
  if (const auto known = ids_.find(kept); known != ids_.end()) return known->second;
  bytes_ += kept.size() + 96;
  texts_.push_back(std::move(kept));
  const auto id = static_cast<std::int32_t>(texts_.size() - 1);
  ids_.emplace(texts_.back(), id);
  return id;
}

struct ImportWriter::Impl {
  Impl(const std::string& path, std::string run_name)
      : connection(open_for_writing(path)), state(path), name(std::move(run_name)) {}
  ImportedRank& rank(int handle) {
    SS_CHECK(handle >= 0 && static_cast<std::size_t>(handle) < state.ranks.size(), handle);
    return state.ranks[static_cast<std::size_t>(handle)];
  }
  std::int32_t store(ImportedRank& rank, const ForeignOp& op);
  std::int32_t further_ops(int handle, const ForeignOp& op, ImportWriter& writer);

  std::optional<Connection> connection;
  ImportState state;
  const std::string name;
  std::string key;  ///< of OpKey
  std::int64_t run = 0, events = 0;
};

ImportWriter::ImportWriter(const std::string& path, const std::string& name)
    : impl_(std::make_unique<Impl>(path, name)) {}
ImportWriter::~ImportWriter() = default;

int ImportWriter::add_rank(const SourceFacts& facts) {
  impl_->state.ranks.emplace_back().facts = facts;
  return static_cast<int>(impl_->state.ranks.size()) - 1;
}

SourceFacts& ImportWriter::facts(int rank) { return impl_->rank(rank).facts; }

std::int32_t ImportWriter::Impl::store(ImportedRank& to, const ForeignOp& op) {
  TextPool& texts = state.texts;
  StoredOp stored{texts.id(op.kind), texts.id(op.name), texts.id(op.lane), texts.id(op.phase), -1, -1,
                  op.flops,          op.bytes};
  if (op.launch != nullptr) {
    stored.launch = static_cast<std::int32_t>(to.launches.size());
    to.launches.push_back(*op.launch);
  }
  if (op.collective != nullptr) {
    const ForeignCollective& c = *op.collective;
    stored.collective = static_cast<std::int32_t>(to.collectives.size());
    to.collectives.push_back({texts.id(c.group), texts.id(c.dtype), texts.id(c.description), texts.id(c.group_ranks),
                              texts.id(c.split_in), texts.id(c.split_out), texts.id(c.algorithm), texts.id(c.protocol),
                              c.ranks, c.bytes, c.elements_in, c.elements_out, c.peer, c.channels});
  }
  to.ops.push_back(stored);
  ++state.ops;
  return static_cast<std::int32_t>(to.ops.size()) - 1;
}

/// What stands for all ops of a kind when there are too many.
std::int32_t ImportWriter::Impl::further_ops(int handle, const ForeignOp& op, ImportWriter& writer) {
  writer.diagnostic(handle, "many_ops", "so many different ops that further ones are not told apart");
  const ForeignOp further{.kind = op.kind, .name = "(further ops)", .lane = op.lane, .phase = op.phase};
  ImportedRank& to = rank(handle);
  const auto [known, is_new] = to.op_ids.try_emplace(OpKey(further, key).hash(), 0);
  if (is_new) known->second = store(to, further);
  return known->second;
}

std::int32_t ImportWriter::op(int rank, const ForeignOp& op) {
  ImportedRank& to = impl_->rank(rank);
  const std::uint64_t key = OpKey(op, impl_->key).hash();
  const auto known = to.op_ids.find(key);
  if (known != to.op_ids.end()) return known->second;
  if (impl_->state.ops >= kMostOps) return impl_->further_ops(rank, op, *this);
  const std::int32_t stored = impl_->store(to, op);
  to.op_ids.emplace(key, stored);
  if (impl_->state.texts.is_full())
    diagnostic(rank, "many_names", "so many different texts that further ones were not kept");
  return stored;
}

int ImportWriter::track(int rank, std::string_view name, TrackKind kind) {
  ImportedRank& to = impl_->rank(rank);
  std::string shown = cleaned(cut(name, 200));
  if (to.tracks.size() >= kMostTracks) {
    diagnostic(rank, "many_tracks", "so many streams and threads that further ones are not told apart");
    shown = "(further tracks)";
  }
  const auto [known, is_new] = to.track_ids.try_emplace(shown, static_cast<int>(to.tracks.size()));
  if (is_new) to.tracks.push_back({shown, kind, impl_->state.spool.add_track()});
  return known->second;
}

bool ImportWriter::slice(int rank, int track, const ForeignSlice& slice) {
  ImportedRank& to = impl_->rank(rank);
  if (!is_time(slice.start_ns) || slice.duration_ns < 0 || !is_time(slice.duration_ns) || slice.wait_ns < 0) {
    diagnostic(rank, "invalid_time", "events with a negative duration or a time of centuries were not kept");
    return false;
  }
  const std::int64_t end = slice.start_ns + slice.duration_ns;
  if (!to.first_ns || slice.start_ns < *to.first_ns) to.first_ns = slice.start_ns;
  if (!to.last_ns || end > *to.last_ns) to.last_ns = end;
  SliceEvent event;
  event.op = OpId{slice.op};
  event.start_ns = slice.start_ns;
  event.duration_ns = slice.duration_ns;
  event.wait_ns = std::min(slice.wait_ns, slice.duration_ns);
  event.correlation = slice.correlation;
  event.step = slice.step.value_or(kStepNotSaid);
  impl_->state.spool.add(to.tracks[static_cast<std::size_t>(track)].spool, event);
  ++impl_->events;
  return true;
}

void ImportWriter::memory(int rank, std::int64_t time_ns, Space space, Category category, std::int64_t live_bytes) {
  ImportedRank& to = impl_->rank(rank);
  if (!is_time(time_ns) || live_bytes < 0) {
    diagnostic(rank, "invalid_memory", "memory samples with a negative size or a time of centuries were not kept");
    return;
  }
  if (!to.memory) {
    to.memory = impl_->state.spool.add_track();
    to.memory_op = op(rank, {.kind = "allocator", .name = "allocations"});
  }
  if (!to.first_ns || time_ns < *to.first_ns) to.first_ns = time_ns;
  if (!to.last_ns || time_ns > *to.last_ns) to.last_ns = time_ns;
  SliceEvent event;  // in the spool; samples of the same time stay in the order in which they came
  event.op = OpId{static_cast<std::int32_t>(space) * kCategories + static_cast<std::int32_t>(category)};
  event.start_ns = time_ns;
  event.wait_ns = live_bytes;
  event.correlation = to.memory_samples++;
  impl_->state.spool.add(*to.memory, event);
  ++impl_->events;
}

void ImportWriter::step(int rank, std::int64_t number, std::int64_t start_ns, std::int64_t duration_ns, int priority,
                        bool on_device) {
  ImportedRank& to = impl_->rank(rank);
  std::vector<StoredStep>& steps = on_device ? to.device_steps : to.steps;
  const bool good = number >= 0 && number <= INT32_MAX && is_time(start_ns) && is_time(duration_ns) && duration_ns >= 0;
  if (good && steps.size() < kMostSteps) {
    steps.push_back({number, start_ns, duration_ns, priority});
  } else {
    diagnostic(rank, "invalid_step", "steps with a wrong number or time, or after a million, were not kept");
  }
}

void ImportWriter::call(int rank, const ForeignCall& call) {
  ImportedRank& to = impl_->rank(rank);
  if (to.calls.size() >= kMostCalls) {
    diagnostic(rank, "many_calls", "facts of collectives after a million were not kept");
    return;
  }
  to.calls.push_back({call.op, impl_->state.texts.id(call.state), call.track, call.sequence, call.communicator,
                      call.created_ns, call.start_ns, call.end_ns});
  ++impl_->events;
}

void ImportWriter::device(int rank, const ForeignDevice& device) {
  std::vector<ForeignDevice>& devices = impl_->rank(rank).devices;
  const bool known =
      std::any_of(devices.begin(), devices.end(), [&](const ForeignDevice& d) { return d.device == device.device; });
  if (known || devices.size() >= kMostDevices) return;
  devices.push_back(device);
  devices.back().name = cleaned(cut(device.name, 200));
  devices.back().capability = cleaned(cut(device.capability, 200));
}

void ImportWriter::sample(int rank, const ForeignSample& sample) {
  ImportedRank& to = impl_->rank(rank);
  if (to.samples.size() >= kMostSamples) {
    ++to.further_samples;
    return;
  }
  to.samples.push_back({sample.device, sample.time_ns, sample.value, impl_->state.texts.id(sample.name)});
}

void ImportWriter::external_id(int rank, std::int64_t correlation, std::string_view kind, std::int64_t id) {
  ImportedRank& to = impl_->rank(rank);
  if (to.external_ids.size() >= kMostIds) {
    ++to.further_ids;
    return;
  }
  to.external_ids.push_back({correlation, id, impl_->state.texts.id(kind)});
}

void ImportWriter::loss(int rank, std::string_view what, std::optional<std::int64_t> count, std::string_view why) {
  std::vector<StoredLoss>& losses = impl_->rank(rank).losses;
  if (losses.size() < kMostKinds) losses.push_back({cleaned(cut(what, 200)), cleaned(cut(why, 500)), count});
}

void ImportWriter::count(int rank, std::string_view name, std::int64_t value) {
  auto& counts = impl_->rank(rank).counts;
  const auto known = counts.find(name);
  std::int64_t& total = known != counts.end() ? known->second : counts[std::string(name)];
  if (__builtin_add_overflow(total, value, &total)) total = INT64_MAX;
}

void ImportWriter::set_count(int rank, std::string_view name, std::int64_t value) {
  impl_->rank(rank).counts[std::string(name)] = value;
}

void ImportWriter::diagnostic(int rank, std::string_view kind, std::string_view text, std::int64_t count) {
  auto& diagnostics = rank < 0 ? impl_->state.diagnostics : impl_->rank(rank).diagnostics;
  auto known = diagnostics.find(kind);
  if (known == diagnostics.end()) {
    if (diagnostics.size() >= kMostKinds) return;
    known = diagnostics.emplace(std::string(kind), TextCount{cleaned(cut(text, 500)), 0}).first;
  }
  known->second.count += count;
}

std::optional<std::int64_t> ImportWriter::first_ns(int rank) const { return impl_->rank(rank).first_ns; }
std::int64_t ImportWriter::events() const { return impl_->events; }

void ImportWriter::finish(ImportStatus status) {
  SS_CHECK(impl_->connection.has_value(), impl_->run);
  impl_->run = settle(impl_->state, std::move(*impl_->connection), impl_->name, status);
  impl_->connection.reset();
}

std::int64_t ImportWriter::run() const { return impl_->run; }

}  // namespace shardscope
