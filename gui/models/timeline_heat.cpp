#include "gui/models/timeline_heat.h"

#include <algorithm>
#include <cmath>

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
  HeatMap map{window, columns, {}};
  const std::vector<TimelineTrack>& tracks = timeline.tracks();
  for (std::size_t first = 0, end; first < tracks.size() && !stopped(); first = end) {
    for (end = first; end < tracks.size() && tracks[end].rank == tracks[first].rank;) ++end;
    map.ranks.emplace(tracks[first].rank, load_rank(timeline, first, end, window, columns));
  }
  return map;
}

std::vector<Stack> load_activity(const Timeline& timeline, int columns, int ranks) {
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

void draw_heat(Picture& picture, const HeatMap& map, HeatMetric metric, const HeatPlace& heat, const RowPlace& place,
               TimeWindow window) {
  constexpr int kShades = 32;  // so that neighbours are often equal, and one rectangle
  const auto which = static_cast<std::size_t>(metric);
  const int width = static_cast<int>(place.width), height = static_cast<int>(place.height);
  const auto count = heat.ranks.size();
  std::vector<int> cells(static_cast<std::size_t>(width));
  for (int x = 0; x < width; ++x) {
    const std::int64_t at = time_at(x + 0.5, window, place.width);
    const double cell = x_of(at, map.time, map.columns);
    cells[static_cast<std::size_t>(x)] = cell >= 0 && cell < map.columns ? static_cast<int>(cell) : -1;
  }
  std::vector<std::uint8_t> worst(static_cast<std::size_t>(std::max(1, map.columns)));
  for (int y = 0; y < height; ++y) {
    const std::size_t first = static_cast<std::size_t>(y) * count / static_cast<std::size_t>(height);
    const std::size_t end =
        std::max(first + 1, (static_cast<std::size_t>(y) + 1) * count / static_cast<std::size_t>(height));
    std::fill(worst.begin(), worst.end(), 0);
    bool known = false;
    for (std::size_t r = first; r < std::min(end, count); ++r) {
      const auto found = map.ranks.find(heat.ranks[r]);
      if (found == map.ranks.end()) continue;
      known = true;
      for (std::size_t c = 0; c < found->second.size(); ++c) worst[c] = std::max(worst[c], found->second[c][which]);
    }
    if (!known) continue;
    const auto shade = [&](int x) {
      const int cell = cells[static_cast<std::size_t>(x)];
      return cell < 0 ? -1 : worst[static_cast<std::size_t>(cell)] * (kShades - 1) / 255;
    };
    for (int from = 0, to; from < width; from = to) {
      const int value = shade(from);
      for (to = from + 1; to < width && shade(to) == value;) ++to;
      if (value >= 0) {
        picture.fill(place.x + from, place.y + y, to - from, 1,
                     heat_colour(static_cast<double>(value) / (kShades - 1)));
      }
    }
  }
}

}  // namespace shardscope::gui
