#include "profiler/import/nsys/nsys_tables.h"

#include <sqlite3.h>

#include <filesystem>

#include "core/error.h"

namespace shardscope {
namespace {

constexpr int kLargestValue = 16 << 20;
constexpr std::size_t kMostStrings = 100'000, kLongestString = 4096;

/// A log beside the file means that it is not closed: then SQLite must look at both.
Connection::Mode mode_of(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path + "-wal", error) ? Connection::Mode::kReadOnly : Connection::Mode::kImmutable;
}

/// `whole`: SQLite refuses a file that is shorter than it says, unless its schema may be mended; nothing is written.
void defend(Connection& connection, bool whole) {
  sqlite3* db = connection.handle();
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, whole ? 1 : 0, nullptr);
  if (!whole) connection.execute("PRAGMA writable_schema = ON");
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kLargestValue);
  connection.execute(
      "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA query_only = ON; PRAGMA cache_size = -16000");
}

Connection open_tables(const std::string& path, bool& whole) {
  whole = true;
  try {
    Connection connection(path, mode_of(path));
    defend(connection, whole);
    return connection;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kParse) throw;
  }
  whole = false;
  Connection connection(path, mode_of(path));
  defend(connection, whole);
  return connection;
}

std::string quoted(const std::string& name) {
  std::string out = "\"";
  for (char c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace

NsysTables::NsysTables(const ImportSource& source) : source_(source), connection_(open_tables(source.path(), whole_)) {
  try {
    find_tables();
  } catch (const Error&) {  // the list of tables itself may be cut
    if (whole_ || tables_.empty()) throw;
  }
}

void NsysTables::find_tables() {
  // Ordinary tables only: a view or virtual table could do anything.
  Rows rows(connection_.handle(), connection_.path(),
            "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND "
            "m.sql LIKE 'CREATE TABLE %'",
            {});
  while (rows.next()) {
    if (rows.is_text(0) && rows.is_text(1)) tables_[rows.text(0)].insert(rows.text(1));
  }
}

bool NsysTables::read(const std::string& table, std::initializer_list<const char*> columns,
                      const std::function<void(const NsysRow&)>& f) {
  const auto known = tables_.find(table);
  if (known == tables_.end()) return true;
  std::string list;
  for (const char* column : columns) {
    const bool there = known->second.count(column) != 0;
    list += (list.empty() ? "" : ", ") + (there ? quoted(column) : std::string("NULL"));
  }
  try {
    Rows rows(connection_.handle(), connection_.path(), "SELECT " + list + " FROM " + quoted(table), {});
    const NsysRow row(rows);
    while (!source_.cancelled() && rows.next()) f(row);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kParse) throw;
    return false;
  }
  return true;
}

std::int64_t NsysTables::rows(const std::string& table) {
  return has(table) ? connection_.integer("SELECT count(*) FROM " + quoted(table)) : 0;
}

const std::string& NsysTables::string(std::optional<std::int64_t> id) {
  static const std::string kNone;
  if (!id || !has("StringIds")) return kNone;
  if (const auto known = strings_.find(*id); known != strings_.end()) return known->second;
  if (strings_.size() >= kMostStrings) strings_.clear();
  std::string text;
  try {
    Rows rows(connection_.handle(), connection_.path(), "SELECT value FROM StringIds WHERE id = ? LIMIT 1",
              {Value(*id)});
    if (rows.next() && rows.is_text(0)) text = rows.text(0).substr(0, kLongestString);
  } catch (const Error&) {  // larger than anything is, or on a damaged page: what has the name is kept without it
    text = "(unreadable)";
  }
  return strings_[*id] = std::move(text);
}

std::set<std::string> NsysTables::tables_like(const std::string& prefix) const {
  std::set<std::string> found;
  for (const auto& [name, columns] : tables_) {
    if (name.starts_with(prefix)) found.insert(name);
  }
  return found;
}

}  // namespace shardscope
