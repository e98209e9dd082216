#pragma once
// What a window shows, to be saved, sent and undone: the open files, the run, the view in front and each view's state.
// As JSON, version 1, or as a link that names the run by its key, for whoever has its profile.
//
//   QString link = to_link(state);                        // shardscope://open?run=4f2a...#{"view":"timeline",...}
//   AppState same = parse_link(link);

#include <QJsonObject>
#include <QMap>
#include <QString>
#include <QStringList>
#include <string>
#include <vector>

namespace shardscope::gui {

struct AppState {
  QStringList files;
  QString run;   ///< key of run A: the same in every copy of its profile; empty: the first measured one
  QString view;  ///< id of the view in front
  QMap<QString, QJsonObject> views;
  friend bool operator==(const AppState&, const AppState&) = default;
};

QByteArray to_json(const AppState& state);
/// Throws Error{kParse} naming the key. `name` is the file's, for messages. What is inside a view's state is the view's
/// to check.
AppState parse_app_state(const QByteArray& text, const std::string& name);

inline constexpr const char* kLinkScheme = "shardscope:";
/// Without files: those are of one machine.
QString to_link(const AppState& state);
/// Throws Error{kParse}.
AppState parse_link(const QString& link);

/// Undo and redo over all views: every change is of one of them. Changes of one gesture of a view (the same number, not
/// 0) are one step.
class StateHistory {
 public:
  struct Step {
    QString view;
    QJsonObject state;
  };
  void start(const QString& view, const QJsonObject& state);  ///< what it is now; no step
  void push(const QString& view, const QJsonObject& state, int gesture);
  const Step* undo();  ///< what to restore, and where; nothing left: null
  const Step* redo();
  bool can_undo() const { return at_ > 0; }
  bool can_redo() const { return at_ < changes_.size(); }
  void clear();

 private:
  struct Change {
    Step before, after;
    int gesture;
  };
  std::vector<Change> changes_;
  std::size_t at_ = 0;
  QMap<QString, QJsonObject> now_;
};

/// How well a text answers what was typed: its letters in this order, better at the start of words and side by side.
/// Negative: not at all.
int fuzzy_score(const QString& typed, const QString& text);

}  // namespace shardscope::gui
