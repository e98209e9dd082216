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
    copy = c_.program().whole(c_.add("secondary." + chunk.name, c_.dtypes().model, count, Category::kParameter));
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

/// Emits the gathers of all spans.
class Gatherer {
 public:
  explicit Gatherer(ZeroContext& c) : c_(c), spans_(find_spans(c, find_visits(c))), secondary_(c) {}

  void run() {
    std::vector<int> count(c_.chunks.size(), 0);
    std::map<std::pair<std::size_t, GroupId>, std::vector<std::size_t>> together;  // by where and among whom
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      const Chunk& chunk = c_.chunks[spans_[i].chunk];
      const std::string name = fmt::format("gathered.{}.{}", chunk.name, count[spans_[i].chunk]++);
      gathered_.push_back(c_.program().whole(c_.add(name, c_.dtypes().model, chunk.elements, Category::kBucket)));
      together[{issue_position(c_, spans_, i), chunk.group}].push_back(i);
    }
    for (const auto& [key, group] : together) {
      if (c_.plan.coalesce_gathers && group.size() > 1 && !is_zero_plus_plus()) {
        gather_coalesced(key.first, group);
      } else {
        for (std::size_t i : group) gather(key.first, i);
      }
    }
    for (std::size_t i = 0; i < spans_.size(); ++i) point_uses_at(c_, spans_[i], gathered_[i].buffer);
  }

 private:
  bool is_zero_plus_plus() const {
    return c_.draft.job->training.zero.quantized_weights || c_.draft.node_group.valid();
  }

  Emitter emitter(std::size_t position, std::size_t i) {
    Emitter emit(c_.before[position]);
    emit.label = c_.program().instructions[spans_[i].first].label;
    emit.label.name = c_.program().intern(chunk(i).name);
    return emit;
  }

  const Chunk& chunk(std::size_t i) const { return c_.chunks[spans_[i].chunk]; }

  void gather(std::size_t position, std::size_t i) {
    Emitter emit = emitter(position, i);
    const std::string& name = c_.program().buffer(gathered_[i].buffer).name;
    if (secondary_.serves(chunk(i), emit.label.phase)) {
      gather_shards(c_, emit, c_.draft.node_group, secondary_.of(chunk(i)), gathered_[i], name);
    } else {
      gather_shards(c_, emit, chunk(i).group, c_.program().whole(chunk(i).shard), gathered_[i], name);
      secondary_.keep(emit, chunk(i), gathered_[i], emit.label.phase);
    }
  }

  /// One gather of all shards side by side in a flat buffer; each parameter is copied out of it when the first of them
  /// is used, and flat and copies are alive together.
  void gather_coalesced(std::size_t position, const std::vector<std::size_t>& group) {
    const Group& ranks = c_.group(chunk(group.front()));
    std::int64_t row = 0;
    for (std::size_t i : group) row += chunk(i).slice;
    const Region flat = c_.program().whole(c_.add(c_.program().buffer(gathered_[group.front()].buffer).name + ".flat",
                                                  c_.dtypes().model, row * ranks.size(), Category::kBucket));
    const Region own = flat.part(ranks.self * row, row);
    Emitter issue = emitter(position, group.front());
    std::int64_t at = 0;
    std::size_t first_use = SIZE_MAX;
    for (std::size_t i : group) {
      issue(Copy{c_.program().whole(chunk(i).shard), own.part(at, chunk(i).slice)}, Lane::kGather);
      at += chunk(i).slice;
      first_use = std::min(first_use, spans_[i].first);
    }
    issue(AllGather{chunk(group.front()).group, own, flat}, Lane::kGather);
    Emitter arrive = emitter(first_use, group.front());
    at = 0;
    for (std::size_t i : group) {
      const std::int64_t slice = chunk(i).slice;
      const Region rows = flat.part(at, (ranks.size() - 1) * row + slice);
      arrive(CopyRows{rows, gathered_[i], ranks.size(), slice, row, slice}, Lane::kGather);
      at += slice;
    }
  }

  ZeroContext& c_;
  std::vector<Span> spans_;
  std::vector<Region> gathered_;  ///< by span
  SecondaryCopies secondary_;
};

}  // namespace

void zero_gather(ZeroContext& c) { Gatherer(c).run(); }

}  // namespace shardscope
