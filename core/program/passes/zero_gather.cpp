// Stage 3: parameters are gathered for each span of uses, ahead of time where memory allows, and dropped afterwards.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/program/passes/zero.h"

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

}  // namespace

void zero_gather(ZeroContext& c) {
  const std::vector<Span> spans = find_spans(c, find_visits(c));
  std::vector<int> count(c.chunks.size(), 0);
  for (std::size_t i = 0; i < spans.size(); ++i) {
    const Span& span = spans[i];
    const Chunk& chunk = c.chunks[span.chunk];
    const BufferId gathered =
        c.add(fmt::format("gathered.{}.{}", chunk.name, count[span.chunk]++), chunk.elements, Category::kBucket);
    Emitter emit(c.before[issue_position(c, spans, i)]);
    emit.label = c.program().instructions[span.first].label;
    emit.label.name = c.program().intern(chunk.name);
    emit(AllGather{chunk.group, c.program().whole(chunk.shard), c.program().whole(gathered)}, Lane::kGather);
    point_uses_at(c, span, gathered);
  }
}

}  // namespace shardscope
