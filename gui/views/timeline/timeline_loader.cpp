#include "gui/views/timeline/timeline_loader.h"

#include <algorithm>
#include <cmath>

namespace shardscope::gui {
namespace {

constexpr int kCoarse = 8;  ///< screen columns of a first, coarse tile's column
constexpr int kHeatColumns = 512;

bool same_rows(const TimelineState& a, const TimelineState& b) {
  return a.expanded == b.expanded && a.pinned == b.pinned && a.order == b.order && a.selection == b.selection;
}

bool within(TimeWindow inner, TimeWindow outer) {
  return inner.begin_ns >= outer.begin_ns && inner.end_ns <= outer.end_ns;
}

}  // namespace

void TimelineLoader::open(std::optional<RunKey> key, std::optional<RunKey> prediction) {
  pool_.cancel_all(this);
  tile_asked_ = heat_asked_ = false;
  served_ = {};  // of a run that has grown, what is shown stays until the new one is there
  heat_.reset();
  if (key_ != key) tile_.reset(), catalog_.reset();
  key_ = std::move(key);
  prediction_ = std::move(prediction);
  alignment_.reset();
  if (!key_) {
    catalog_.reset();
    return;
  }
  const auto load = [key = *key_](QueryFiles& files) {
    return load_catalog(files.timeline(key.file, key.run), files.profile(key.file), key.run);
  };
  const auto loaded = [this](std::shared_ptr<const TimelineCatalog> catalog) {
    catalog_ = std::move(catalog);
    Q_EMIT catalog_loaded(catalog_);
  };
  pool_.ask<TimelineCatalog>(this, "catalog", load, loaded, [this](const QString& text) { Q_EMIT problem(text); });
  ask_alignment();
}

/// Of a prediction that has nothing to be laid beside, nothing is drawn.
void TimelineLoader::ask_alignment() {
  if (!prediction_) return;
  const auto align = [run = *key_, other = *prediction_](QueryFiles& files) {
    return align_runs(files.profile(run.file), run.run, files.profile(other.file), other.run);
  };
  const auto aligned = [this](std::shared_ptr<const RunAlignment> alignment) {
    alignment_ = std::move(alignment);
    if (catalog_ && wanted_.window.length() > 0) ask_for_tile();
  };
  pool_.ask<RunAlignment>(this, "alignment", align, aligned, [](const QString&) {});
}

void TimelineLoader::want(TileRequest request, bool heat) {
  wanted_ = std::move(request);
  heat_wanted_ = heat;
  if (!catalog_ || catalog_->tracks.empty() || wanted_.window.length() <= 0) return;
  ask_for_tile();
  ask_for_heat();
}

bool TimelineLoader::is_served(const TileRequest& wanted) const {
  return tile_ && (tile_->pair != nullptr) == wants_pair(wanted) && same_rows(served_.state, wanted.state) &&
         served_.height == wanted.height && std::abs(served_.state.scroll - wanted.state.scroll) <= served_.reach &&
         covers(*tile_, wanted.window, wanted.columns);
}

/// A new tile also before the margin of this one is used up.
void TimelineLoader::ask_for_tile() {
  if (tile_asked_) return;
  const std::int64_t spare = wanted_.window.length() / 8;
  const TimeWindow extent = catalog_->extent;
  const TimeWindow soon{std::max(std::min(wanted_.window.begin_ns, extent.begin_ns), wanted_.window.begin_ns - spare),
                        std::min(std::max(wanted_.window.end_ns, extent.end_ns), wanted_.window.end_ns + spare)};
  if (is_served(wanted_) && within(soon, tile_->time)) return;
  TileRequest next = wanted_;
  const bool something = tile_ && within(wanted_.window, tile_->time) && same_rows(served_.state, wanted_.state);
  if (something) {
    next.margin = next.columns;  // a window's length, in whole ns: columns are exactly those of the window
    next.reach = std::ceil(next.height / 2);
  } else {
    next.columns = std::max(1, next.columns / kCoarse);
  }
  ask_tile(next);
}

void TimelineLoader::ask_tile(const TileRequest& request) {
  tile_asked_ = true;
  const auto load = [key = *key_, catalog = catalog_, request, other = prediction_,
                     alignment = wants_pair(request) ? alignment_ : nullptr](QueryFiles& files) {
    const auto stopped = [&files] { return files.stopped(); };
    TimelineTile tile = load_tile(files.timeline(key.file, key.run), *catalog, request, stopped);
    if (alignment) add_prediction(tile, {files.timeline(other->file, other->run), *alignment}, *catalog, stopped);
    return tile;
  };
  const auto loaded = [this, request](std::shared_ptr<const TimelineTile> tile) {
    tile_asked_ = false;
    served_ = request;
    tile_ = std::move(tile);
    Q_EMIT tile_loaded(tile_);
    ask_for_tile();
  };
  pool_.ask<TimelineTile>(this, "tile", load, loaded, [this](const QString& text) {
    tile_asked_ = false;
    Q_EMIT problem(text);
  });
}

void TimelineLoader::ask_for_heat() {
  if (!heat_wanted_ || heat_asked_) return;
  const auto near = [](std::int64_t a, std::int64_t b, std::int64_t slack) { return std::abs(a - b) <= slack; };
  const int columns = std::min(wanted_.columns, kHeatColumns);
  const std::int64_t cell = wanted_.window.length() / columns;
  if (heat_ && heat_->columns == columns && near(heat_->time.begin_ns, wanted_.window.begin_ns, cell) &&
      near(heat_->time.end_ns, wanted_.window.end_ns, cell))
    return;
  heat_asked_ = true;
  const int now = heat_ ? columns : std::max(1, columns / kCoarse);
  const auto load = [key = *key_, window = wanted_.window, now](QueryFiles& files) {
    return load_heat(files.timeline(key.file, key.run), window, now, [&files] { return files.stopped(); });
  };
  const auto loaded = [this](std::shared_ptr<const HeatMap> heat) {
    heat_asked_ = false;
    heat_ = std::move(heat);
    Q_EMIT heat_loaded(heat_);
    ask_for_heat();
  };
  pool_.ask<HeatMap>(this, "heat", load, loaded, [this](const QString& text) {
    heat_asked_ = false;
    Q_EMIT problem(text);
  });
}

}  // namespace shardscope::gui
