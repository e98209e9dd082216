// Stage 3: parameters are gathered for each span of uses, ahead of time where memory allows, and dropped afterwards.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/program/passes/zero.h"
#include "core/program/passes/zero_quantize.h"

namespace shardscope {
namespace {

/// A chunk stays gathered from position `first` to `last` of the incoming program.
struct Span {
  std::size_t chunk = 0, first = 0, last = 0;
};

/// One visit of a chunk in program order; successive ops on the same chunk are one visit.
struct Visit {
  std::size_t chunk = 0, first = 0, last = 0;
};

std::vector<Visit> find_visits(ZeroContext& c) {
  std::vector<Visit> visits;
  for (std::size_t i = 0; i < c.program().instructions.size(); ++i) {
    for_each_region(c.program().instructions[i].op, [&](Region& region) {
      const std::int32_t p = c.value_parameter(region);
      if (p < 0) return;
      const std::size_t chunk = c.places[static_cast<std::size_t>(p)].chunk;
      if (c.chunks[chunk].residency != Residency::kSharded) return;
      if (visits.empty() || visits.back().chunk != chunk) visits.push_back({chunk, i, i});
      visits.back().last = i;
    });
  }
  return visits;
}

/// Joins a chunk's visits if at most reuse_distance elements of other chunks are visited in between.
std::vector<Span> find_spans(const ZeroContext& c, const std::vector<Visit>& visits) {
  std::vector<Span> spans;
  std::map<std::size_t, std::pair<std::size_t, std::int64_t>> open;  // chunk -> its span, elements visited since
  for (const Visit& visit : visits) {
    const auto it = open.find(visit.chunk);
    if (it != open.end() && it->second.second <= c.plan.reuse_distance) {
      spans[it->second.first].last = visit.last;
      it->second.second = 0;
    } else {
      open[visit.chunk] = {spans.size(), 0};
      spans.push_back({visit.chunk, visit.first, visit.last});
    }
    for (auto& [chunk, state] : open) {
      if (chunk != visit.chunk) state.second += c.chunks[visit.chunk].elements;
    }
  }
  return spans;
}

std::int64_t live_elements(const ZeroContext& c, const std::vector<Span>& spans, std::size_t position) {
  std::int64_t live = 0;
  for (const Span& span : spans) {
    if (span.first <= position && position <= span.last) live += c.chunks[span.chunk].elements;
  }
  return live;
}

/// Where span i's gather is issued: at the start of an earlier span, as far ahead as prefetch_elements reach and
/// max_live_elements allow; never while the chunk is still gathered.
std::size_t issue_position(const ZeroContext& c, const std::vector<Span>& spans, std::size_t i) {
  std::size_t position = spans[i].first;
  if (!c.plan.overlap || c.plan.prefetch_elements <= 0) return position;
  std::int64_t ahead = 0;
  for (std::size_t j = i; j-- > 0;) {
    ahead += c.chunks[spans[j + 1].chunk].elements;
    const bool reaches = ahead <= c.plan.prefetch_elements || (c.plan.prefetch_one && j + 1 == i);
    if (!reaches || live_elements(c, spans, spans[j].first) + ahead > c.plan.max_live_elements) break;
    if (spans[j].chunk == spans[i].chunk) break;
    position = spans[j].first;
  }
  for (std::size_t j = 0; j < i; ++j) {
    if (spans[j].chunk == spans[i].chunk) position = std::max(position, spans[j].last + 1);
  }
  return position;
}

void point_uses_at(ZeroContext& c, const Span& span, BufferId gathered) {
  for (std::size_t i = span.first; i <= span.last; ++i) {
    for_each_region(c.program().instructions[i].op, [&](Region& region) {
      const std::int32_t p = c.value_parameter(region);
      if (p < 0) return;
      const ZeroContext::Place& place = c.places[static_cast<std::size_t>(p)];
      if (place.chunk == span.chunk) region = {gathered, place.offset + region.offset, region.count};
    });
  }
}

/// hpZ: what forward has gathered leaves a second copy, spread over the ranks of a node only, from which backward
/// gathers.
class SecondaryCopies {
 public:
  explicit SecondaryCopies(ZeroContext& c) : c_(c), copies_(c.chunks.size()) {}

  bool serves(const Chunk& chunk, Phase phase) const {
    return is_used(chunk) && phase != Phase::kForward && !copies_[index(chunk)].empty();
  }
  Region of(const Chunk& chunk) const { return copies_[index(chunk)]; }

  /// Keeps this rank's part of `whole`, unless that was done earlier in the step.
  void keep(Emitter& emit, const Chunk& chunk, Region whole, Phase phase) {
    Region& copy = copies_[index(chunk)];
    if (!is_used(chunk) || phase != Phase::kForward || !copy.empty()) return;
    const Group& node = c_.program().group(c_.draft.node_group);
    const std::int64_t count = whole.count / node.size();
    copy = c_.program().whole(c_.add("secondary." + chunk.name, count, Category::kParameter));
    emit(Copy{whole.part(node.self * count, count), copy}, Lane::kGather);
  }

 private:
  std::size_t index(const Chunk& chunk) const { return static_cast<std::size_t>(&chunk - c_.chunks.data()); }
  bool is_used(const Chunk& chunk) const {
    return c_.draft.node_group.valid() && c_.draft.job->training.zero.hpz_partition_size > 1 &&
           chunk.group == c_.draft.shard_group;
  }

  ZeroContext& c_;
  std::vector<Region> copies_;  ///< by chunk; empty: not made yet
};

}  // namespace

void zero_gather(ZeroContext& c) {
  const std::vector<Span> spans = find_spans(c, find_visits(c));
  std::vector<int> count(c.chunks.size(), 0);
  SecondaryCopies secondary(c);
  for (std::size_t i = 0; i < spans.size(); ++i) {
    const Span& span = spans[i];
    const Chunk& chunk = c.chunks[span.chunk];
    const std::string name = fmt::format("gathered.{}.{}", chunk.name, count[span.chunk]++);
    const BufferId gathered = c.add(name, chunk.elements, Category::kBucket);
    const Region whole = c.program().whole(gathered);
    Emitter emit(c.before[issue_position(c, spans, i)]);
    emit.label = c.program().instructions[span.first].label;
    emit.label.name = c.program().intern(chunk.name);
    if (secondary.serves(chunk, emit.label.phase)) {
      gather_shards(c, emit, c.draft.node_group, secondary.of(chunk), whole, name);
    } else {
      gather_shards(c, emit, chunk.group, c.program().whole(chunk.shard), whole, name);
      secondary.keep(emit, chunk, whole, emit.label.phase);
    }
    point_uses_at(c, span, gathered);
  }
}

}  // namespace shardscope
