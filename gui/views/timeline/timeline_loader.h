#pragma once
// Reads what a timeline shows, off the UI thread: the catalog of a run, tiles and heat maps around what is looked at.
// One question of each kind is under way at a time; when it is answered and what is looked at has moved on, the next
// follows, so that a long drag is drawn all the way and never waits for the newest position.
//
//   loader.open({file, run});
//   loader.want(request);         // as often as the view changes
//   connect(&loader, &TimelineLoader::tile_loaded, canvas, &TimelineCanvas::set_tile);

#include <QObject>
#include <memory>
#include <optional>

#include "gui/models/query_pool.h"
#include "gui/models/timeline_picture.h"

namespace shardscope::gui {

struct RunKey {
  std::string file;
  std::int64_t run = 0;
  friend bool operator==(const RunKey&, const RunKey&) = default;
};

class TimelineLoader : public QObject {
  Q_OBJECT

 public:
  explicit TimelineLoader(QueryPool& pool, QObject* parent = nullptr) : QObject(parent), pool_(pool) {}
  /// The same run again: it has grown, and is read anew. `prediction` is laid under its lanes.
  void open(std::optional<RunKey> key, std::optional<RunKey> prediction = {});
  const std::optional<RunKey>& key() const { return key_; }
  const std::shared_ptr<const TimelineCatalog>& catalog() const { return catalog_; }
  /// Without margin and reach: the loader adds its own.
  void want(TileRequest request, bool heat);
  bool busy() const { return tile_asked_ || heat_asked_; }

 Q_SIGNALS:
  void catalog_loaded(std::shared_ptr<const shardscope::gui::TimelineCatalog> catalog);
  void tile_loaded(std::shared_ptr<const shardscope::gui::TimelineTile> tile);
  void heat_loaded(std::shared_ptr<const shardscope::gui::HeatMap> heat);
  void problem(const QString& text);

 private:
  bool is_served(const TileRequest& wanted) const;
  void ask_for_tile();
  void ask_for_heat();
  void ask_tile(const TileRequest& request);
  void ask_alignment();
  bool wants_pair(const TileRequest& request) const { return alignment_ && request.state.prediction; }

  QueryPool& pool_;
  std::optional<RunKey> key_;
  std::optional<RunKey> prediction_;
  std::shared_ptr<const RunAlignment> alignment_;   ///< with the prediction; shared with questions
  std::shared_ptr<const TimelineCatalog> catalog_;  ///< shared with scenes
  std::shared_ptr<const TimelineTile> tile_;        ///< shared with the canvas
  std::shared_ptr<const HeatMap> heat_;             ///< shared with the canvas
  TileRequest wanted_, served_;
  bool heat_wanted_ = false, tile_asked_ = false, heat_asked_ = false;
};

}  // namespace shardscope::gui
