#include "profiler/store/open_store.h"

#include <sqlite3.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>

#include "core/error.h"
#include "profiler/store/chunk_tables.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

constexpr int kLargestValue = 64 << 20;  ///< bytes; a chunk has some 100 KB

/// Nothing in the file may run code, write, or take unbounded memory.
void defend(Connection& connection) {
  sqlite3* db = connection.handle();
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kLargestValue);
  sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, 1 << 20);
  sqlite3_limit(db, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
  connection.execute("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY");
}

/// First 16 bytes; shorter for shorter files. Throws Error{kIo} if there is nothing to read from.
std::string magic_of(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw Error(ErrorKind::kConfig, path + ": no such file");
  if (fs::is_directory(status)) throw Error(ErrorKind::kConfig, path + ": is a directory; a profile is a file");
  if (!fs::is_regular_file(status)) throw Error(ErrorKind::kConfig, path + ": not a regular file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ErrorKind::kConfig, path + ": cannot be read (permission?)");
  std::array<char, 16> head{};
  file.read(head.data(), head.size());
  return {head.data(), static_cast<std::size_t>(file.gcount())};
}

[[noreturn]] void throw_foreign(const std::string& path, const std::string& why) {
  throw Error(ErrorKind::kParse, path + ": not a Shardscope profile (" + why + ")");
}

void check_magic(const std::string& path) {
  const std::string magic = magic_of(path);
  if (magic.empty()) throw_foreign(path, "the file is empty");
  if (magic != kSqliteMagic) throw_foreign(path, "not an SQLite 3 file");
}

int version_of(Connection& connection) {
  if (connection.integer("PRAGMA application_id") != kApplicationId) {
    throw_foreign(connection.path(), "an SQLite file of another program");
  }
  const std::int64_t version = connection.integer("PRAGMA user_version");
  if (version > kSchemaVersion) {
    throw Error(ErrorKind::kParse, connection.path() + ": written by a newer Shardscope (schema version " +
                                       std::to_string(version) + "; this one reads up to " +
                                       std::to_string(kSchemaVersion) + ")");
  }
  if (version < 1) throw_foreign(connection.path(), "schema version " + std::to_string(version));
  return static_cast<int>(version);
}

/// Whether the file is an SQLite database without a single table: what an interrupted creation leaves.
bool is_blank(Connection& connection) { return connection.integer("SELECT count(*) FROM sqlite_schema") == 0; }

/// Where that does not work (some network file systems, a reader in the way) SQLite stays with its rollback journal.
void use_write_ahead_log(Connection& connection) {
  try {
    connection.execute("PRAGMA journal_mode = WAL");
  } catch (const Error&) {
    if (!is_busy(connection.handle())) throw;
  }
}

void create_schema(Connection& connection) {
  Transaction transaction(connection);
  if (is_blank(connection)) connection.execute(create_sql());  // else another process was faster
  transaction.commit();
}

/// What sqlite_schema must say, by object name.
std::map<std::string, std::string> expected_schema(int version) {
  std::map<std::string, std::string> objects;
  for (const SchemaTable& table : schema_tables()) {
    if (table.since > version) continue;
    objects[table.name] = create_sql(table);
    if (!table.index.empty()) objects[index_name(table)] = index_sql(table, version);
  }
  for (const SchemaView& view : schema_views()) {
    if (view.since <= version) objects[view.name] = create_sql(view);
  }
  return objects;
}

/// A write-ahead log in a folder that cannot be written cannot be read, nor made where the file asks for one; the file
/// itself can. What is only in the log is missing then.
Connection open_read_only(const std::string& path) {
  const char* first_touch = "SELECT count(*) FROM sqlite_schema";
  Connection connection(path, Connection::Mode::kReadOnly);
  try {
    connection.integer(first_touch);
    return connection;
  } catch (const Error& error) {
    const bool half_written = fs::exists(path + "-journal");  // of a commit that did not end
    if (error.kind() != ErrorKind::kIo || is_busy(connection.handle()) || half_written) throw;
  }
  Connection alone(path, Connection::Mode::kImmutable);
  alone.integer(first_touch);
  return alone;
}

}  // namespace

void check_schema(Connection& connection, int version) {
  std::map<std::string, std::string> missing = expected_schema(version);
  sqlite3_stmt* statement = nullptr;
  const char* sql = "SELECT name, sql, type FROM sqlite_schema";
  if (sqlite3_prepare_v2(connection.handle(), sql, -1, &statement, nullptr) != SQLITE_OK) {
    throw_sqlite(connection.handle(), connection.path(), "reading the schema");
  }
  const auto text = [&](int column) {
    const auto* value = sqlite3_column_text(statement, column);
    return std::string(value == nullptr ? "" : reinterpret_cast<const char*>(value));
  };
  std::string wrong;
  int code = SQLITE_ROW;
  while (wrong.empty() && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    const auto found = missing.find(text(0));
    if (text(2) == "trigger") wrong = "it holds a trigger";
    if (found == missing.end()) continue;
    if (found->second != text(1)) {
      wrong = found->first + " is not declared as schema version " + std::to_string(version) + " declares it";
    }
    missing.erase(found);
  }
  sqlite3_finalize(statement);
  if (wrong.empty() && code != SQLITE_DONE) throw_sqlite(connection.handle(), connection.path(), "reading the schema");
  if (wrong.empty() && !missing.empty()) wrong = missing.begin()->first + " is missing";
  if (!wrong.empty()) throw_foreign(connection.path(), wrong);
}

void migrate(Connection& connection, int from, std::span<const Migration> migrations) {
  Transaction transaction(connection);
  for (const Migration& migration : migrations) {
    if (migration.to <= from) continue;
    if (migration.to != from + 1) break;
    connection.execute(migration.sql);
    from = migration.to;
    connection.execute("PRAGMA user_version = " + std::to_string(from));
  }
  if (!migrations.empty() && from != migrations.back().to) {
    throw Error(ErrorKind::kParse, connection.path() + ": schema version " + std::to_string(from) +
                                       " is too old for this Shardscope; record into a new file");
  }
  transaction.commit();
}

Connection open_for_writing(const std::string& path) {
  std::error_code error;
  if (path.empty()) throw Error(ErrorKind::kConfig, "profile: the path is empty");
  if (fs::exists(path, error) && !magic_of(path).empty()) check_magic(path);
  Connection connection(path, Connection::Mode::kCreate);
  defend(connection);
  if (is_blank(connection)) {
    use_write_ahead_log(connection);
    create_schema(connection);
  }
  const int version = version_of(connection);
  if (version < kSchemaVersion) migrate(connection, version, schema_migrations());
  check_schema(connection, kSchemaVersion);
  use_own_views(connection);
  use_write_ahead_log(connection);
  connection.execute("PRAGMA synchronous = NORMAL");
  return connection;
}

Connection open_for_reading(const std::string& path) {
  check_magic(path);
  Connection connection = open_read_only(path);
  defend(connection);
  const int version = version_of(connection);
  check_schema(connection, version);
  use_own_views(connection);
  connection.execute("PRAGMA query_only = ON");
  return connection;
}

}  // namespace shardscope
