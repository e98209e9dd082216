#include "gui/models/timeline_heat.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace shardscope::gui {
namespace {

std::uint8_t cell_value(float share) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(share, 0.0F, 1.0F) * 255));
}

HeatCell cell_of(const std::array<float, kWorkClasses>& compute, const std::array<float, kWorkClasses>& others) {
  float busy = 0;
  for (float part : compute) busy += part;
  const float waited = others[static_cast<std::size_t>(WorkClass::kWait)];
  const float moving = others[static_cast<std::size_t>(WorkClass::kCommunication)] + waited;
  const float exposed = std::min(std::max(0.0F, 1 - busy), moving);
  HeatCell cell{};
  cell[static_cast<std::size_t>(HeatMetric::kExposed)] = cell_value(exposed);
  cell[static_cast<std::size_t>(HeatMetric::kWaiting)] = cell_value(waited);
  cell[static_cast<std::size_t>(HeatMetric::kIdle)] = cell_value(1 - busy - exposed);
  cell[static_cast<std::size_t>(HeatMetric::kCompute)] = cell_value(busy);
  return cell;
}

std::vector<HeatCell> load_rank(const Timeline& timeline, std::size_t first, std::size_t end, TimeWindow window,
                                int columns) {
  const auto count = static_cast<std::size_t>(columns);
  Columns compute(count), others(count);
  for (std::size_t i = first; i < end; ++i) {
    const TimelineTrack& track = timeline.tracks()[i];
    const bool computes = track.lane == to_string(Lane::kCompute);
    add_columns(timeline, track, timeline.look(track, window, columns), window, 1e9, computes ? compute : others);
  }
  std::vector<HeatCell> cells;
  cells.reserve(count);
  for (std::size_t c = 0; c < count; ++c) cells.push_back(cell_of(compute[c], others[c]));
  return cells;
}

}  // namespace

HeatMap load_heat(const Timeline& timeline, TimeWindow window, int columns, const std::function<bool()>& stopped) {
  const LockHold locks = timeline.hold();
  HeatMap map{window, columns, {}};
  const std::vector<TimelineTrack>& tracks = timeline.tracks();
  for (std::size_t first = 0, end; first < tracks.size() && !stopped(); first = end) {
    for (end = first; end < tracks.size() && tracks[end].rank == tracks[first].rank;) ++end;
    map.ranks.emplace(tracks[first].rank, load_rank(timeline, first, end, window, columns));
  }
  return map;
}

std::vector<Stack> load_activity(const Timeline& timeline, int columns, int ranks) {
  const LockHold locks = timeline.hold();
  std::vector<TimelineRow> rows;
  const std::vector<TimelineTrack>& tracks = timeline.tracks();
  for (std::size_t i = 0; i < tracks.size(); ++i) {
    if (rows.empty() || rows.back().rank != tracks[i].rank) rows.push_back({tracks[i].rank, true, {}});
    rows.back().tracks.push_back(i);
  }
  const auto wanted = std::min(rows.size(), static_cast<std::size_t>(ranks));
  Columns sum(static_cast<std::size_t>(columns));
  for (std::size_t k = 0; k < wanted; ++k) {
    const Columns one = rank_columns(timeline, rows[k * rows.size() / wanted], timeline.extent(), columns);
    for (std::size_t c = 0; c < sum.size(); ++c) {
      for (std::size_t w = 0; w < sum[c].size(); ++w) sum[c][w] += one[c][w] / static_cast<float>(wanted);
    }
  }
  return stacks_of(sum);
}

const char* name_of(HeatMetric metric) {
  switch (metric) {
    case HeatMetric::kExposed:
      return "exposed communication";
    case HeatMetric::kWaiting:
      return "waiting for ranks";
    case HeatMetric::kIdle:
      return "idle";
    case HeatMetric::kCompute:
      return "compute";
  }
  return "";
}

Rgb heat_colour(double value) {
  // Nunez, Anderton and Renslow, PLoS ONE 13(7), 2018: nine of its 256 colours, straight lines between them.
  static constexpr Rgb kStops[] = {{0, 34, 78},     {18, 53, 112},   {59, 73, 108},   {87, 93, 109}, {112, 113, 115},
                                   {138, 134, 120}, {165, 156, 116}, {195, 179, 105}, {254, 232, 56}};
  constexpr double kParts = std::size(kStops) - 1;
  const double at = std::clamp(value, 0.0, 1.0) * kParts;
  const auto below = static_cast<std::size_t>(std::min(at, kParts - 1));
  const auto mix = [&](std::uint8_t a, std::uint8_t b) {
    return static_cast<std::uint8_t>(std::lround(a + (b - a) * (at - static_cast<double>(below))));
  };
  const Rgb a = kStops[below], b = kStops[below + 1];
  return {mix(a.r, b.r), mix(a.g, b.g), mix(a.b, b.b)};
}

namespace {

/// Of the ranks of a row of pixels, the highest value of each metric in each cell.
std::vector<HeatCell> worst_of(const HeatMap& map, std::span<const int> ranks) {
  std::vector<HeatCell> worst;
  for (int rank : ranks) {
    const auto found = map.ranks.find(rank);
    if (found == map.ranks.end()) continue;
    worst.resize(static_cast<std::size_t>(map.columns));
    const std::size_t count = std::min(worst.size(), found->second.size());
    for (std::size_t c = 0; c < count; ++c) {
      for (std::size_t m = 0; m < kHeatMetrics; ++m) worst[c][m] = std::max(worst[c][m], found->second[c][m]);
    }
  }
  return worst;
}

}  // namespace

void draw_heat(Picture& picture, const HeatMap& map, HeatMetric metric, const HeatPlace& heat, const RowPlace& place,
               TimeWindow window) {
  constexpr int kShades = 32;  // so that neighbours are often equal, and one rectangle
  CellMap cells{{}, std::max(1, map.columns), {}, {}};
  for (int i = 0; i < kShades; ++i) cells.colours.push_back(heat_colour(static_cast<double>(i) / (kShades - 1)));
  const int width = static_cast<int>(place.width);
  for (int x = 0; x < width; ++x) {
    const double cell = x_of(time_at(x + 0.5, window, place.width), map.time, map.columns);
    cells.cells.push_back(cell >= 0 && cell < map.columns ? static_cast<std::int32_t>(cell) : -1);
  }
  const auto height = static_cast<std::size_t>(place.height), count = heat.ranks.size();
  for (std::size_t y = 0; y < height; ++y) {
    const std::size_t first = y * count / height, end = std::max(first + 1, (y + 1) * count / height);
    const std::vector<HeatCell> worst =
        worst_of(map, std::span(heat.ranks).subspan(first, std::min(end, count) - first));
    for (std::size_t c = 0; c < static_cast<std::size_t>(cells.columns); ++c) {
      cells.shades.push_back(
          worst.empty() ? static_cast<std::uint8_t>(CellMap::kNothing)
                        : static_cast<std::uint8_t>(worst[c][static_cast<std::size_t>(metric)] * (kShades - 1) / 255));
    }
  }
  picture.cells(place.x, place.y, std::move(cells));
}

}  // namespace shardscope::gui
