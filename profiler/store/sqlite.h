#pragma once
// SQLite with owners and our errors: a connection for writing and prepared statements. Readers of files that are not
// trusted use Profile (profiler/store/profile.h).
//
//   Connection db("run.db", Connection::Mode::kCreate);
//   Statement insert(db, "INSERT INTO meta VALUES (?, ?)");
//   insert.run("key", "value");

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace shardscope {

/// Throws Error with the file, what was being done, and SQLite's reason: {kParse} for a damaged or foreign file, else
/// {kIo}.
[[noreturn]] void throw_sqlite(sqlite3* database, const std::string& file, std::string_view doing);
/// Whether the last error of this connection is "another connection holds a lock".
bool is_busy(sqlite3* database);

/// Bytes to bind as such, not as text. Not copied: must live until the statement has run.
struct Blob {
  std::string_view bytes;
};

class Connection {
 public:
  enum class Mode : std::uint8_t { kCreate, kReadWrite, kReadOnly, kImmutable };
  Connection(std::string path, Mode mode);
  ~Connection();
  Connection(Connection&& other) noexcept;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  Connection& operator=(Connection&&) = delete;

  void execute(const std::string& sql);          ///< one or several statements; rows are ignored
  std::int64_t integer(const std::string& sql);  ///< first column of the first row; 0 if there is none
  std::string text(const std::string& sql);
  std::int64_t last_id() const;
  sqlite3* handle() const { return database_; }
  sqlite3* release();  ///< gives the handle away
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  sqlite3* database_ = nullptr;
};

class Statement {
 public:
  Statement(Connection& connection, const std::string& sql);
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  Statement& operator=(Statement&&) = delete;

  /// Binds the values in order, runs to the end, and is ready for the next run. NaN is bound as NULL.
  template <class... Values>
  void run(const Values&... values) {
    int index = 0;
    (bind(++index, values), ...);
    step_to_end();
  }
  /// Like run(), for a query: first column of its first row, which must be there.
  template <class... Values>
  std::int64_t integer(const Values&... values) {
    int index = 0;
    (bind(++index, values), ...);
    return step_to_integer();
  }

 private:
  void bind(int index, std::int64_t value);
  void bind(int index, int value) { bind(index, static_cast<std::int64_t>(value)); }
  void bind(int index, double value);
  void bind(int index, std::string_view value);  ///< not copied: must live until run() is over
  void bind(int index, Blob value);
  void bind(int index, std::nullptr_t);
  /// NULL if there is no value.
  template <class T>
  void bind(int index, const std::optional<T>& value) {
    value ? bind(index, *value) : bind(index, nullptr);
  }
  void step_to_end();
  std::int64_t step_to_integer();
  [[noreturn]] void fail();

  Connection& connection_;
  sqlite3_stmt* statement_ = nullptr;
};

/// BEGIN IMMEDIATE ... COMMIT; rolled back unless commit() was reached.
class Transaction {
 public:
  explicit Transaction(Connection& connection) : connection_(connection) { connection_.execute("BEGIN IMMEDIATE"); }
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Connection& connection_;
  bool done_ = false;
};

}  // namespace shardscope
