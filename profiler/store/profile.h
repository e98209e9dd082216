#pragma once
// A profile opened for reading: nothing in it is trusted. Tables and views must be exactly those of the schema
// (profiler/store/schema.h), every value is checked for its type, and whatever the file holds, the answer is rows or
// one Error. Questions are asked through profiler/query; rows() is what those are made of.
//
//   Profile profile("run.db");
//   for (Rows rows = profile.rows("SELECT id, name FROM run WHERE id = ?", {Value(1)}); rows.next();)
//     use(rows.integer(0), rows.text(1));
//
// One object per thread. A profile that is still being recorded can be read; so can one whose run was killed.

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

struct sqlite3;
struct sqlite3_stmt;

namespace shardscope {

/// A value to bind to a `?`.
using Value = std::variant<std::int64_t, double, std::string>;

class IdleStatements;  ///< of a Profile: what is asked again and again, as of thousands of lanes, is prepared once

/// Rows of one statement, one at a time. Every getter throws Error{kParse} if the column is not of that type; columns
/// count from 0. All functions throw Error{kIo} or {kParse} with the file's name.
class Rows {
 public:
  Rows(sqlite3* database, std::string file, std::string_view sql, std::initializer_list<Value> values,
       std::shared_ptr<IdleStatements> idle = nullptr);
  ~Rows();
  Rows(Rows&& other) noexcept;
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  Rows& operator=(Rows&&) = delete;

  bool next();  ///< moves to the next row; false after the last
  std::int64_t integer(int column) const;
  int small(int column) const;           ///< an integer that must fit an int
  double real(int column) const;         ///< finite; an integer is a real too
  double real_or_nan(int column) const;  ///< NaN for NULL
  std::string text(int column) const;
  std::string_view bytes(int column) const;  ///< of a text or a blob; until the next next()
  bool is_null(int column) const;
  bool is_integer(int column) const;
  bool is_text(int column) const;
  int columns() const;

 private:
  [[noreturn]] void wrong_type(int column, const char* expected) const;
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  std::shared_ptr<IdleStatements> idle_;
  std::string file_;
};

class Profile {
 public:
  /// Merges what ranks of a killed run left beside the file (merge_parts) if there is any. Throws Error{kConfig} if
  /// the file is missing or unreadable, {kIo} if locked, {kParse} if it is no profile, damaged, or of a newer version.
  explicit Profile(const std::string& path);
  ~Profile();
  Profile(Profile&& other) noexcept;
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;
  Profile& operator=(Profile&&) = delete;

  const std::string& path() const { return path_; }
  /// Of the file, <= kSchemaVersion: tables that came later (SchemaTable::since) are not there.
  int schema_version() const;
  Rows rows(std::string_view sql, std::initializer_list<Value> values = {}) const;
  /// Makes a query that runs in another thread end with Error{kIo} ("interrupted"). The one call allowed from there.
  void interrupt() const;
  sqlite3* handle() const { return database_; }  ///< for `shardscope query`

 private:
  friend class LockHold;
  void take_locks() const;
  void give_locks() const;
  std::string path_;
  sqlite3* database_ = nullptr;
  std::shared_ptr<IdleStatements> idle_;
  mutable std::optional<std::chrono::steady_clock::time_point> locked_;  ///< since when, for a LockHold
};

/// While it lives, the locks of the file are taken for many statements at once: they cost more than a small one. Anew
/// after kMostMs, so that a recorder that waits for them has its turn; what is read may be of several states of the
/// file.
class LockHold {
 public:
  explicit LockHold(const Profile& profile);
  ~LockHold();
  LockHold(const LockHold&) = delete;
  LockHold& operator=(const LockHold&) = delete;
  static constexpr int kMostMs = 50;

 private:
  const Profile* profile_;  ///< null: an outer one is there
};

}  // namespace shardscope
