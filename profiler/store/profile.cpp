#include "profiler/store/profile.h"

#include <sqlite3.h>

#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "core/error.h"
#include "profiler/store/merge.h"
#include "profiler/store/open_store.h"
#include "profiler/store/recover.h"

namespace shardscope {
namespace {

void bind(sqlite3_stmt* statement, int index, const Value& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) sqlite3_bind_int64(statement, index, *integer);
  if (const auto* real = std::get_if<double>(&value)) sqlite3_bind_double(statement, index, *real);
  if (const auto* text = std::get_if<std::string>(&value)) {
    sqlite3_bind_text64(statement, index, text->data(), text->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
}

}  // namespace

/// Prepared statements from which nobody reads at the moment, by their text.
class IdleStatements {
 public:
  IdleStatements() = default;
  IdleStatements(const IdleStatements&) = delete;
  IdleStatements& operator=(const IdleStatements&) = delete;
  ~IdleStatements() { close(); }

  /// Null if there is none of that text.
  sqlite3_stmt* take(std::string_view sql) {
    const auto found = idle_.find(sql);
    return found == idle_.end() ? nullptr : idle_.extract(found).mapped();
  }

  /// Reset, so that it holds no part of the file.
  void give_back(sqlite3_stmt* statement) {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    const char* sql = sqlite3_sql(statement);
    if (is_closed_ || sql == nullptr || idle_.size() >= kMost) {
      sqlite3_finalize(statement);
    } else {
      idle_.emplace(sql, statement);
    }
  }

  void close() {
    for (const auto& [sql, statement] : idle_) sqlite3_finalize(statement);
    idle_.clear();
    is_closed_ = true;
  }

 private:
  static constexpr std::size_t kMost = 64;
  std::multimap<std::string, sqlite3_stmt*, std::less<>> idle_;
  bool is_closed_ = false;
};

Rows::Rows(sqlite3* database, std::string file, std::string_view sql, std::initializer_list<Value> values,
           std::shared_ptr<IdleStatements> idle)
    : database_(database), idle_(std::move(idle)), file_(std::move(file)) {
  if (idle_ != nullptr) statement_ = idle_->take(sql);
  if (statement_ == nullptr &&
      sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr) != SQLITE_OK) {
    throw_sqlite(database, file_, "reading");
  }
  int index = 0;
  for (const Value& value : values) bind(statement_, ++index, value);
}

Rows::~Rows() {
  if (idle_ != nullptr && statement_ != nullptr) {
    idle_->give_back(statement_);
  } else {
    sqlite3_finalize(statement_);
  }
}

Rows::Rows(Rows&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      idle_(std::move(other.idle_)),
      file_(std::move(other.file_)) {}

bool Rows::next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) throw_sqlite(database_, file_, "reading");
  return false;
}

std::int64_t Rows::integer(int column) const {
  if (sqlite3_column_type(statement_, column) != SQLITE_INTEGER) wrong_type(column, "an integer");
  return sqlite3_column_int64(statement_, column);
}

int Rows::small(int column) const {
  const std::int64_t value = integer(column);
  if (value < std::numeric_limits<int>::min() || value > std::numeric_limits<int>::max()) {
    wrong_type(column, "a small integer");
  }
  return static_cast<int>(value);
}

double Rows::real(int column) const {
  const int type = sqlite3_column_type(statement_, column);
  if (type != SQLITE_FLOAT && type != SQLITE_INTEGER) wrong_type(column, "a number");
  const double value = sqlite3_column_double(statement_, column);
  if (!std::isfinite(value)) wrong_type(column, "a finite number");
  return value;
}

double Rows::real_or_nan(int column) const { return is_null(column) ? std::nan("") : real(column); }

std::string Rows::text(int column) const {
  if (sqlite3_column_type(statement_, column) != SQLITE_TEXT) wrong_type(column, "a text");
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) throw_sqlite(database_, file_, "reading");
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::string_view Rows::bytes(int column) const {
  const int type = sqlite3_column_type(statement_, column);
  if (type != SQLITE_TEXT && type != SQLITE_BLOB) wrong_type(column, "a text or a blob");
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return {data == nullptr ? "" : data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

bool Rows::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
bool Rows::is_integer(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_INTEGER; }
bool Rows::is_text(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_TEXT; }
int Rows::columns() const { return sqlite3_column_count(statement_); }

void Rows::wrong_type(int column, const char* expected) const {
  const char* name = sqlite3_column_name(statement_, column);
  throw Error(ErrorKind::kParse,
              file_ + ": damaged (" + (name == nullptr ? "a column" : name) + " is not " + expected + ")");
}

Profile::Profile(const std::string& path) : path_(path) {
  recover_events(path);
  if (has_parts(path)) merge_parts(path);
  database_ = open_for_reading(path).release();
  idle_ = std::make_shared<IdleStatements>();
}

Profile::~Profile() {
  if (idle_ != nullptr) idle_->close();
  sqlite3_close_v2(database_);
}

Profile::Profile(Profile&& other) noexcept
    : path_(std::move(other.path_)),
      database_(std::exchange(other.database_, nullptr)),
      idle_(std::move(other.idle_)) {}

Rows Profile::rows(std::string_view sql, std::initializer_list<Value> values) const {
  if (locked_ && std::chrono::steady_clock::now() - *locked_ > std::chrono::milliseconds(LockHold::kMostMs)) {
    give_locks();
    take_locks();
  }
  return {database_, path_, sql, values, idle_};
}

int Profile::schema_version() const {
  Rows version = rows("PRAGMA user_version");
  return version.next() ? version.small(0) : 0;
}

void Profile::interrupt() const { sqlite3_interrupt(database_); }

void Profile::take_locks() const {
  if (sqlite3_exec(database_, "BEGIN", nullptr, nullptr, nullptr) == SQLITE_OK)
    locked_ = std::chrono::steady_clock::now();
}

/// Again where another thread's interrupt() met just this: else the profile would be read as it is now for ever.
void Profile::give_locks() const {
  constexpr int kTries = 3;
  for (int i = 0; i < kTries && sqlite3_get_autocommit(database_) == 0; ++i)
    sqlite3_exec(database_, "COMMIT", nullptr, nullptr, nullptr);
  locked_.reset();
}

LockHold::LockHold(const Profile& profile) : profile_(profile.locked_ ? nullptr : &profile) {
  if (profile_ != nullptr) profile_->take_locks();
}

LockHold::~LockHold() {
  if (profile_ != nullptr) profile_->give_locks();
}

}  // namespace shardscope
