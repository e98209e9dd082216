#include "profiler/query/area_ops.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace shardscope {
namespace {

struct Gathered {
  AreaOp row;
  std::vector<std::int64_t> lengths;
};

using Key = std::tuple<std::string, std::string, std::string, std::string>;

/// Rows of a program's ops, found once for all ranks that share it.
class Table {
 public:
  explicit Table(const Timeline& timeline) : timeline_(timeline) {}
  const std::vector<std::size_t>& rows_of(std::int64_t program) {
    const auto [known, is_new] = by_program_.try_emplace(program);
    if (!is_new) return known->second;
    for (const TimelineOp& op : timeline_.ops().at(program)) {
      const auto [row, first] = by_key_.try_emplace(Key(op.kind, op.name, op.phase, op.group), rows.size());
      if (first) {
        rows.push_back(
            {{op.kind, op.name, op.phase, op.group, op.work, !op.group.empty(), 0, 0, 0, 0, 0, 0, 0, op.bytes}, {}});
      }
      known->second.push_back(row->second);
    }
    return known->second;
  }
  std::vector<Gathered> rows;

 private:
  const Timeline& timeline_;
  std::map<Key, std::size_t> by_key_;
  std::map<std::int64_t, std::vector<std::size_t>> by_program_;
};

void add(Gathered& to, const Span& span, TimeWindow time) {
  ++to.row.count;
  to.row.inside_ns += std::min(span.end_ns, time.end_ns) - std::max(span.begin_ns, time.begin_ns);
  to.row.wait_ns += span.wait_ns;
  to.lengths.push_back(span.end_ns - span.begin_ns);
}

std::int64_t rank_of(std::vector<std::int64_t>& lengths, double q) {
  const auto at = std::lround(q * static_cast<double>(lengths.size() - 1));
  std::nth_element(lengths.begin(), lengths.begin() + at, lengths.end());
  return lengths[static_cast<std::size_t>(at)];
}

AreaOp summed(Gathered& gathered) {
  AreaOp row = gathered.row;
  double sum = 0;
  for (std::int64_t length : gathered.lengths) sum += static_cast<double>(length);
  row.mean_ns = sum / static_cast<double>(row.count);
  row.p50_ns = rank_of(gathered.lengths, 0.5);
  row.p99_ns = rank_of(gathered.lengths, 0.99);
  row.max_ns = *std::max_element(gathered.lengths.begin(), gathered.lengths.end());
  return row;
}

}  // namespace

std::vector<AreaOp> area_ops(const Timeline& timeline, TimeWindow time, const RankSet& ranks,
                             const std::function<bool()>& stopped) {
  const LockHold locks = timeline.hold();
  Table table(timeline);
  for (const TimelineTrack& track : timeline.tracks()) {
    if (!ranks.has(track.rank)) continue;
    if (stopped()) break;
    const std::vector<std::size_t>& rows = table.rows_of(track.program);
    for (const Span& span : timeline.spans(track, time)) {
      if (span.op >= 0 && static_cast<std::size_t>(span.op) < rows.size())
        add(table.rows[rows[static_cast<std::size_t>(span.op)]], span, time);
    }
  }
  std::vector<AreaOp> found;
  for (Gathered& gathered : table.rows) {
    if (gathered.row.count > 0) found.push_back(summed(gathered));
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const AreaOp& a, const AreaOp& b) { return a.inside_ns > b.inside_ns; });
  return found;
}

}  // namespace shardscope
