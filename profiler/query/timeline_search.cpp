#include "profiler/query/timeline_search.h"

#include <algorithm>
#include <charconv>
#include <sstream>

namespace shardscope {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

struct Wanted {
  std::vector<std::string> words;
  std::optional<int> rank, step;
  bool empty() const { return words.empty() && !rank && !step; }
};

/// "rank:3" into 3; nothing for other words.
std::optional<int> number_of(const std::string& word, const std::string& key) {
  if (word.rfind(key, 0) != 0) return std::nullopt;
  int number = 0;
  const char *begin = word.data() + key.size(), *end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(begin, end, number);
  return error == std::errc() && stop == end ? std::optional(number) : std::nullopt;
}

Wanted parse(const std::string& text) {
  Wanted wanted;
  std::istringstream words(lower(text));
  for (std::string word; words >> word;) {
    if (const auto rank = number_of(word, "rank:")) {
      wanted.rank = rank;
    } else if (const auto step = number_of(word, "step:")) {
      wanted.step = step;
    } else {
      wanted.words.push_back(word);
    }
  }
  return wanted;
}

bool matches(const TimelineOp& op, const std::string& lane, const std::vector<std::string>& words) {
  const std::string all = lower(op.kind + ' ' + op.name + ' ' + op.phase + ' ' + op.group + ' ' + lane);
  return std::all_of(words.begin(), words.end(),
                     [&](const std::string& w) { return all.find(w) != std::string::npos; });
}

/// Which ops of a program match on a lane: found once for all ranks that share it.
class Matching {
 public:
  Matching(const Timeline& timeline, const Wanted& wanted) : timeline_(timeline), wanted_(wanted) {}
  const std::vector<bool>& on(const TimelineTrack& track) {
    const auto [known, is_new] = known_.try_emplace({track.program, track.lane});
    if (is_new) {
      for (const TimelineOp& op : timeline_.ops().at(track.program))
        known->second.push_back(matches(op, track.lane, wanted_.words));
    }
    return known->second;
  }

 private:
  const Timeline& timeline_;
  const Wanted& wanted_;
  std::map<std::pair<std::int64_t, std::string>, std::vector<bool>> known_;
};

void add_hit(SearchHits& hits, const Timeline& timeline, std::size_t track, const Span& span) {
  ++hits.total;
  ++hits.by_rank[timeline.tracks()[track].rank];
  const TimeWindow extent = timeline.extent();
  const double part = static_cast<double>(span.begin_ns - extent.begin_ns) /
                      static_cast<double>(std::max<std::int64_t>(1, extent.length()));
  const auto count = static_cast<double>(hits.columns.size());
  ++hits.columns[static_cast<std::size_t>(std::clamp(part * count, 0.0, count - 1))];
  hits.first.push_back({track, span});
}

bool earlier(const TiedSpan& a, const TiedSpan& b) { return a.span.begin_ns < b.span.begin_ns; }

/// The earliest kListed of those found so far.
void keep_first(SearchHits& hits) {
  if (hits.first.size() <= SearchHits::kListed) return;
  std::nth_element(hits.first.begin(), hits.first.begin() + SearchHits::kListed, hits.first.end(), earlier);
  hits.first.resize(SearchHits::kListed);
}

}  // namespace

SearchHits search(const Timeline& timeline, const std::string& words, int columns,
                  const std::function<bool()>& stopped) {
  const LockHold locks = timeline.hold();
  SearchHits hits;
  hits.columns.resize(static_cast<std::size_t>(std::max(1, columns)));
  const Wanted wanted = parse(words);
  if (wanted.empty()) return hits;
  Matching matching(timeline, wanted);
  for (std::size_t i = 0; i < timeline.tracks().size(); ++i) {
    if (stopped()) {
      hits.complete = false;
      break;
    }
    const TimelineTrack& track = timeline.tracks()[i];
    if (wanted.rank && track.rank != *wanted.rank) continue;
    const std::vector<bool>& good = matching.on(track);
    if (std::find(good.begin(), good.end(), true) == good.end()) continue;
    for (const Span& span : timeline.spans(track, {track.extent.begin_ns, track.extent.end_ns + 1})) {
      const bool known = span.op >= 0 && static_cast<std::size_t>(span.op) < good.size();
      if (known && good[static_cast<std::size_t>(span.op)] && (!wanted.step || span.step == *wanted.step))
        add_hit(hits, timeline, i, span);
    }
    keep_first(hits);
  }
  std::sort(hits.first.begin(), hits.first.end(), earlier);
  return hits;
}

std::optional<Span> neighbour(const Timeline& timeline, std::size_t track, const Span& span, bool forward) {
  const TimelineTrack& on = timeline.tracks()[track];
  // Windows of growing length, so that a dense lane costs one chunk and a sparse one is still searched to its end.
  for (std::int64_t reach = std::max<std::int64_t>(1000, 8 * (span.end_ns - span.begin_ns));; reach *= 8) {
    const TimeWindow window = forward ? TimeWindow{span.begin_ns, std::min(span.end_ns + reach, on.extent.end_ns + 1)}
                                      : TimeWindow{std::max(span.begin_ns - reach, on.extent.begin_ns), span.end_ns};
    const std::vector<Span> near = timeline.spans(on, window);
    const auto self = std::find(near.begin(), near.end(), span);
    if (self != near.end() && forward && self + 1 != near.end()) return *(self + 1);
    if (self != near.end() && !forward && self != near.begin()) return *(self - 1);
    const bool all = forward ? window.end_ns > on.extent.end_ns : window.begin_ns <= on.extent.begin_ns;
    if (all || self == near.end()) return std::nullopt;
  }
}

}  // namespace shardscope
