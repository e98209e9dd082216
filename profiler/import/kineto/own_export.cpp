#include "profiler/import/kineto/own_export.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace shardscope {
namespace {

constexpr std::size_t kMostRanks = 1 << 16;

std::int64_t number_or(std::string_view text, std::int64_t other) { return to_integer(text).value_or(other); }

double real_or_zero(std::string_view text) {
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && std::isfinite(value) ? value : 0;
}

}  // namespace

/// Process 1 is rank 0.
OwnExport::Rank* OwnExport::rank_of(const KinetoEvent& event) {
  const std::int64_t number = number_or(event.pid, 0) - 1;
  const auto known = ranks_.find(number);
  if (known != ranks_.end()) return &known->second;
  if (number < 0 || ranks_.size() >= kMostRanks) return nullptr;
  Rank& made = ranks_[number];
  made.handle = spare_rank_ ? *spare_rank_ : writer_.add_rank({});
  spare_rank_.reset();
  SourceFacts& facts = writer_.facts(made.handle);
  facts.file = file_, facts.format = "kineto", facts.tool = "Shardscope", facts.rank = number, facts.origin_ns = 0;
  return &made;
}

void OwnExport::event(const KinetoEvent& event) {
  Rank* rank = rank_of(event);
  if (rank == nullptr) {
    writer_.diagnostic(-1, "bad_event", "events of no rank were not kept");
    return;
  }
  ++rank->events;
  if (event.ph == "M" && event.name == "thread_name") {
    const std::string_view name = event.track.empty() ? event.arg_name : event.track;
    rank->track_names.emplace(event.tid, unescaped(name, texts_[0]));
  } else if (event.ph == "X") {
    slice(*rank, event);
  } else if (event.ph == "C") {
    memory(*rank, event);
  }
}

int OwnExport::track(Rank& rank, std::string_view thread, std::string_view lane) {
  const auto named = rank.track_names.find(thread);
  const std::string_view name = named == rank.track_names.end() ? thread : std::string_view(named->second);
  return writer_.track(rank.handle, name,
                       lane == kHostApiLane ? TrackKind::kHost
                       : lane == kOtherLane ? TrackKind::kOther
                                            : TrackKind::kDevice);
}

std::int32_t OwnExport::op(const Rank& rank, const KinetoEvent& event) {
  ForeignOp op{.kind = unescaped(event.cat, texts_[0])};
  // A name that is shown otherwise is there beside it, even if it is empty.
  op.name = unescaped(event.arg_name.data() != nullptr ? event.arg_name : event.name, texts_[1]);
  op.lane = unescaped(event.lane, texts_[2]);
  op.phase = unescaped(event.phase, texts_[3]);
  op.flops = real_or_zero(event.flops);
  op.bytes = number_or(event.bytes, 0);
  ForeignCollective collective;
  if (event.group.data() != nullptr) {
    collective.group = unescaped(event.group, texts_[4]);
    collective.ranks = number_or(event.members, 0);
    collective.bytes = number_or(event.collective_bytes, 0);
    op.collective = &collective;
  }
  return writer_.op(rank.handle, op);
}

void OwnExport::slice(Rank& rank, const KinetoEvent& event) {
  const auto start = to_ns(event.ts), duration = to_ns(event.dur);
  if (!start || !duration) {
    writer_.diagnostic(rank.handle, "bad_time", "events without a readable ts and dur were not kept");
    return;
  }
  const std::int64_t step = number_or(event.step, -1);
  if (event.lane.data() == nullptr) {  // all ops have one
    if (event.cat == "step") writer_.step(rank.handle, step, *start, *duration, 0);
    return;
  }
  ForeignSlice slice{op(rank, event), *start, *duration, number_or(event.correlation, 0), number_or(event.wait, 0), {}};
  if (step >= INT32_MIN && step <= INT32_MAX) slice.step = static_cast<std::int32_t>(step);
  const int at = track(rank, event.tid, event.lane);
  if (!writer_.slice(rank.handle, at, slice)) return;
  const auto sequence = to_integer(event.sequence), communicator = to_integer(event.communicator);
  if (!sequence && !communicator) return;
  writer_.call(rank.handle, {.op = slice.op,
                             .sequence = sequence,
                             .communicator = communicator,
                             .start_ns = *start,
                             .end_ns = *start + *duration,
                             .track = at});
}

/// "device parameter"
void OwnExport::memory(Rank& rank, const KinetoEvent& event) {
  const std::size_t blank = std::min(event.name.find(' '), event.name.size());
  const auto space = from_name<Space>(event.name.substr(0, blank));
  const auto category = from_name<Category>(event.name.substr(std::min(blank + 1, event.name.size())));
  const auto time = to_ns(event.ts), bytes = to_integer(event.bytes);
  if (space && category && time && bytes) {
    writer_.memory(rank.handle, *time, *space, *category, *bytes);
  } else {
    writer_.diagnostic(rank.handle, "bad_memory", "counters that are no memory of a space and category were not kept");
  }
}

void OwnExport::finish(std::optional<std::int64_t> base_ns, std::optional<std::int64_t> world) {
  for (auto& [number, rank] : ranks_) {
    writer_.facts(rank.handle).base_ns = base_ns;
    writer_.facts(rank.handle).world = world;
    writer_.set_count(rank.handle, "events", rank.events);
  }
}

}  // namespace shardscope
