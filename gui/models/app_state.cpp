#include "gui/models/app_state.h"

#include <QJsonArray>
#include <QJsonDocument>
#include <QUrl>
#include <QUrlQuery>

#include "core/error.h"

namespace shardscope::gui {
namespace {

constexpr int kVersion = 1;
constexpr std::size_t kRemembered = 500;

[[noreturn]] void fail(const std::string& name, const std::string& what) {
  throw Error(ErrorKind::kParse, name + ": " + what);
}

QJsonObject to_object(const AppState& state, bool files) {
  QJsonObject out{{"version", kVersion}};
  if (files && !state.files.isEmpty()) out["files"] = QJsonArray::fromStringList(state.files);
  if (files && !state.run.isEmpty()) out["run"] = state.run;
  if (!state.view.isEmpty()) out["view"] = state.view;
  QJsonObject views;
  for (auto it = state.views.begin(); it != state.views.end(); ++it) views[it.key()] = it.value();
  if (!views.isEmpty()) out["views"] = views;
  return out;
}

QString text_of(const QJsonValue& value, const std::string& name, const char* key) {
  if (!value.isString()) fail(name, std::string(key) + " must be a text");
  return value.toString();
}

void parse_key(AppState& state, const QString& key, const QJsonValue& value, const std::string& name) {
  if (key == QLatin1String("version")) {
    if (value.toInt(-1) != kVersion) fail(name, "version must be 1: this program reads no other");
  } else if (key == QLatin1String("files")) {
    if (!value.isArray()) fail(name, "files must be a list of texts");
    const QJsonArray files = value.toArray();
    for (const auto& file : files) state.files << text_of(QJsonValue(file), name, "files");
  } else if (key == QLatin1String("run")) {
    state.run = text_of(value, name, "run");
  } else if (key == QLatin1String("view")) {
    state.view = text_of(value, name, "view");
  } else if (key == QLatin1String("views")) {
    if (!value.isObject()) fail(name, "views must be an object");
    const QJsonObject views = value.toObject();
    for (auto it = views.begin(); it != views.end(); ++it) {
      if (!it.value().isObject()) fail(name, "views: " + it.key().toStdString() + " must be an object");
      state.views[it.key()] = it.value().toObject();
    }
  } else {
    fail(name, key.toStdString() + " is not a key of a saved view");
  }
}

}  // namespace

QByteArray to_json(const AppState& state) { return QJsonDocument(to_object(state, true)).toJson(); }

AppState parse_app_state(const QByteArray& text, const std::string& name) {
  const QJsonDocument document = QJsonDocument::fromJson(text);
  if (!document.isObject()) fail(name, "not a saved view (a JSON object)");
  AppState state;
  const QJsonObject object = document.object();
  for (auto it = object.begin(); it != object.end(); ++it) parse_key(state, it.key(), it.value(), name);
  return state;
}

QString to_link(const AppState& state) {
  const QByteArray json = QJsonDocument(to_object(state, false)).toJson(QJsonDocument::Compact);
  return QStringLiteral("shardscope://open?run=%1#%2")
      .arg(QString::fromLatin1(QUrl::toPercentEncoding(state.run)), QString::fromLatin1(json.toPercentEncoding()));
}

AppState parse_link(const QString& link) {
  const QUrl url(link, QUrl::StrictMode);
  if (!url.isValid() || url.scheme() != QLatin1String("shardscope") || url.host() != QLatin1String("open"))
    fail("link", "it must be shardscope://open?run=KEY#STATE");
  AppState state;
  const QString json = url.fragment(QUrl::FullyDecoded);
  if (!json.isEmpty()) state = parse_app_state(json.toUtf8(), "link");
  state.run = QUrlQuery(url).queryItemValue(QStringLiteral("run"), QUrl::FullyDecoded);
  state.files.clear();  // a link names no file of somebody else's machine
  return state;
}

void StateHistory::start(const QString& view, const QJsonObject& state) { now_[view] = state; }

void StateHistory::push(const QString& view, const QJsonObject& state, int gesture) {
  if (now_.value(view) == state) return;
  changes_.resize(at_);
  const bool goes_on =
      gesture != 0 && !changes_.empty() && changes_.back().gesture == gesture && changes_.back().after.view == view;
  if (goes_on) {
    changes_.back().after.state = state;
  } else {
    changes_.push_back({{view, now_.value(view)}, {view, state}, gesture});
  }
  if (changes_.size() > kRemembered) changes_.erase(changes_.begin());
  at_ = changes_.size();
  now_[view] = state;
}

const StateHistory::Step* StateHistory::undo() {
  if (!can_undo()) return nullptr;
  Change& change = changes_[--at_];
  change.gesture = 0;  // what comes next is another gesture
  now_[change.before.view] = change.before.state;
  return &change.before;
}

const StateHistory::Step* StateHistory::redo() {
  if (!can_redo()) return nullptr;
  const Change& change = changes_[at_++];
  now_[change.after.view] = change.after.state;
  return &change.after;
}

void StateHistory::clear() {
  changes_.clear();
  at_ = 0;
}

int fuzzy_score(const QString& typed, const QString& text) {
  constexpr int kLetter = 1, kNeighbour = 5, kWordStart = 8, kWhole = 30;
  int score = 0;
  qsizetype at = 0, last = -2;
  for (const QChar c : typed) {
    if (c.isSpace()) continue;
    const qsizetype found = text.indexOf(c, at, Qt::CaseInsensitive);
    if (found < 0) return -1;
    // A letter at the start of a word is worth skipping others for.
    qsizetype best = found;
    for (qsizetype i = found; i >= 0 && last != found - 1; i = text.indexOf(c, i + 1, Qt::CaseInsensitive)) {
      if (i == 0 || !text[i - 1].isLetterOrNumber()) {
        best = i;
        break;
      }
    }
    score += kLetter + (best == last + 1 ? kNeighbour : 0) +
             (best == 0 || !text[best - 1].isLetterOrNumber() ? kWordStart : 0);
    last = best;
    at = best + 1;
  }
  if (text.contains(typed.trimmed(), Qt::CaseInsensitive)) score += kWhole;
  return score * 100 - static_cast<int>(text.size());
}

}  // namespace shardscope::gui
