#include "profiler/store/sqlite.h"

#include <sqlite3.h>

#include <cmath>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace shardscope {
namespace {

constexpr int kBusyTimeoutMs = 2000;

std::string reason(sqlite3* database, int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return "the disk is full";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "it is locked by another process; try again when that has ended";
    case SQLITE_NOTADB:
      return "not a Shardscope profile (not an SQLite 3 file)";
    case SQLITE_CORRUPT:
      return std::string("damaged (") + sqlite3_errmsg(database) + ")";
    case SQLITE_TOOBIG:
      return "a value in it is larger than any that Shardscope writes";
    case SQLITE_INTERRUPT:
      return "interrupted";
    case SQLITE_READONLY:
      return "it cannot be written";
    case SQLITE_ERROR:
      if (std::string_view(sqlite3_errmsg(database)) == "integer overflow") return "damaged (numbers too large to add)";
      return sqlite3_errmsg(database);
    default:
      return sqlite3_errmsg(database);
  }
}

bool is_damage(int code) {
  switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_FORMAT:
    case SQLITE_ERROR:
      return true;  // SQLITE_ERROR: malformed JSON or SQL that the file's schema does not allow
    default:
      return false;
  }
}

/// Counting what SQLite allocates takes a lock that all its connections share: threads that read side by side spend a
/// third of their time in it.
void count_no_memory() {
  static const int code = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);  // refused if SQLite is in use: no harm
  (void)code;
}

/// A path as a URI that SQLite does not interpret further.
std::string immutable_uri(const std::string& path) {
  static const char* kHex = "0123456789ABCDEF";
  std::string uri = "file:";
  for (char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '?' || c == '#' || c == '%' || byte < 0x20) {
      uri += {'%', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      uri += c;
    }
  }
  return uri + "?immutable=1";
}

}  // namespace

void throw_sqlite(sqlite3* database, const std::string& file, std::string_view doing) {
  const int code = database == nullptr ? SQLITE_NOMEM : sqlite3_errcode(database);
  std::string text = file + ": " + reason(database, code);
  if (!doing.empty()) text += " (" + std::string(doing) + ")";
  throw Error(is_damage(code) ? ErrorKind::kParse : ErrorKind::kIo, text);
}

bool is_busy(sqlite3* database) {
  const int code = sqlite3_errcode(database) & 0xff;
  return code == SQLITE_BUSY || code == SQLITE_LOCKED;
}

Connection::Connection(std::string path, Mode mode) : path_(std::move(path)) {
  count_no_memory();
  int flags = SQLITE_OPEN_FULLMUTEX;
  if (mode == Mode::kCreate) flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  if (mode == Mode::kReadWrite) flags |= SQLITE_OPEN_READWRITE;
  if (mode == Mode::kReadOnly) flags |= SQLITE_OPEN_READONLY;
  if (mode == Mode::kImmutable) flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
  const bool absolute = !path_.empty() && path_[0] == '/';  // "./" keeps a name like ":memory:" a file's name
  const std::string plain = absolute ? path_ : "./" + path_;
  const std::string name = mode == Mode::kImmutable ? immutable_uri(plain) : plain;
  if (sqlite3_open_v2(name.c_str(), &database_, flags, nullptr) != SQLITE_OK) {
    try {
      throw_sqlite(database_, path_, "opening");
    } catch (...) {
      sqlite3_close(database_);
      throw;
    }
  }
  sqlite3_extended_result_codes(database_, 1);
  sqlite3_busy_timeout(database_, kBusyTimeoutMs);
}

Connection::~Connection() { sqlite3_close_v2(database_); }

Connection::Connection(Connection&& other) noexcept
    : path_(std::move(other.path_)), database_(std::exchange(other.database_, nullptr)) {}

sqlite3* Connection::release() { return std::exchange(database_, nullptr); }

void Connection::execute(const std::string& sql) {
  if (sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    throw_sqlite(database_, path_, sql.substr(0, sql.find('\n')).substr(0, 40));
  }
}

std::int64_t Connection::integer(const std::string& sql) {
  const std::string value = text(sql);
  return value.empty() ? 0 : std::strtoll(value.c_str(), nullptr, 10);
}

std::string Connection::text(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
    throw_sqlite(database_, path_, sql.substr(0, 40));
  }
  const int code = sqlite3_step(statement);
  std::string value;
  if (code == SQLITE_ROW) {
    const unsigned char* first = sqlite3_column_text(statement, 0);
    if (first != nullptr) value = reinterpret_cast<const char*>(first);
  }
  sqlite3_finalize(statement);
  if (code != SQLITE_ROW && code != SQLITE_DONE) throw_sqlite(database_, path_, sql.substr(0, 40));
  return value;
}

std::int64_t Connection::last_id() const { return sqlite3_last_insert_rowid(database_); }

Statement::Statement(Connection& connection, const std::string& sql) : connection_(connection) {
  if (sqlite3_prepare_v3(connection.handle(), sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr) !=
      SQLITE_OK) {
    throw_sqlite(connection.handle(), connection.path(), sql.substr(0, 40));
  }
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_), statement_(std::exchange(other.statement_, nullptr)) {}

void Statement::bind(int index, std::int64_t value) { sqlite3_bind_int64(statement_, index, value); }

void Statement::bind(int index, double value) {
  if (std::isnan(value)) {
    sqlite3_bind_null(statement_, index);
  } else {
    sqlite3_bind_double(statement_, index, value);
  }
}

void Statement::bind(int index, std::string_view value) {
  sqlite3_bind_text64(statement_, index, value.data() == nullptr ? "" : value.data(), value.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

void Statement::bind(int index, Blob value) {
  sqlite3_bind_blob64(statement_, index, value.bytes.data() == nullptr ? "" : value.bytes.data(), value.bytes.size(),
                      SQLITE_STATIC);
}

void Statement::bind(int index, std::nullptr_t) { sqlite3_bind_null(statement_, index); }

void Statement::step_to_end() {
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) code = sqlite3_step(statement_);
  if (code == SQLITE_DONE) {
    sqlite3_reset(statement_);
    return;
  }
  fail();
}

std::int64_t Statement::step_to_integer() {
  if (sqlite3_step(statement_) != SQLITE_ROW) fail();
  const std::int64_t value = sqlite3_column_int64(statement_, 0);
  sqlite3_reset(statement_);
  return value;
}

void Statement::fail() {
  try {
    throw_sqlite(connection_.handle(), connection_.path(), "writing");
  } catch (...) {
    sqlite3_reset(statement_);
    throw;
  }
}

Transaction::~Transaction() {
  if (!done_) sqlite3_exec(connection_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  connection_.execute("COMMIT");
  done_ = true;
}

}  // namespace shardscope
