#include "profiler/store/chunk_tables.h"

#include <sqlite3.h>

#include <array>
#include <new>
#include <vector>

#include "profiler/store/chunks.h"
#include "profiler/store/schema.h"

namespace shardscope {
namespace {

constexpr int kColumns = 6;  ///< then the two arguments, hidden
using Row = std::array<std::int64_t, kColumns>;

struct SliceRows {
  static constexpr const char* kName = "slice_rows";
  static constexpr const char* kDeclaration =
      "CREATE TABLE x (op, step, start_ns, dur_ns, wait_ns, correlation, data HIDDEN, base_ns HIDDEN)";
  static bool read(std::string_view data, std::int64_t base_ns, std::vector<Row>& rows) {
    return decode_slices(data, base_ns, [&](const SliceEvent& e) {
      rows.push_back({e.op.index, e.step, e.start_ns, e.duration_ns, e.wait_ns, e.correlation});
    });
  }
};

struct MemoryRows {
  static constexpr const char* kName = "memory_rows";
  static constexpr const char* kDeclaration =
      "CREATE TABLE x (op, step, time_ns, space, category, live_bytes, data HIDDEN, base_ns HIDDEN)";
  static bool read(std::string_view data, std::int64_t base_ns, std::vector<Row>& rows) {
    return decode_memory(data, base_ns, [&](const MemoryEvent& e) {
      rows.push_back({e.op.index, e.step, e.time_ns, static_cast<std::int64_t>(e.space),
                      static_cast<std::int64_t>(e.category), e.live_bytes});
    });
  }
};

struct Cursor {
  sqlite3_vtab_cursor base{};  // SQLite's part comes first
  std::vector<Row> rows;
  std::size_t at = 0;
};

Cursor* cursor_of(sqlite3_vtab_cursor* base) { return reinterpret_cast<Cursor*>(base); }

template <class Kind>
int connect(sqlite3* database, void*, int, const char* const*, sqlite3_vtab** table, char**) {
  const int code = sqlite3_declare_vtab(database, Kind::kDeclaration);
  if (code != SQLITE_OK) return code;
  sqlite3_vtab_config(database, SQLITE_VTAB_INNOCUOUS);
  *table = new (std::nothrow) sqlite3_vtab{};
  return *table == nullptr ? SQLITE_NOMEM : SQLITE_OK;
}

int disconnect(sqlite3_vtab* table) {
  delete table;
  return SQLITE_OK;
}

/// Both arguments must be given; that is the only way to read these tables.
int best_index(sqlite3_vtab*, sqlite3_index_info* info) {
  int found = 0;
  for (int i = 0; i < info->nConstraint; ++i) {
    const auto& constraint = info->aConstraint[i];
    if (constraint.iColumn < kColumns || constraint.op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
    if (constraint.usable == 0) return SQLITE_CONSTRAINT;
    const int argument = constraint.iColumn - kColumns;
    info->aConstraintUsage[i].argvIndex = argument + 1;
    info->aConstraintUsage[i].omit = 1;
    found |= 1 << argument;
  }
  if (found != 3) return SQLITE_CONSTRAINT;
  info->estimatedCost = static_cast<double>(kChunkRows);
  info->estimatedRows = static_cast<sqlite3_int64>(kChunkRows);
  return SQLITE_OK;
}

int open_cursor(sqlite3_vtab*, sqlite3_vtab_cursor** cursor) {
  auto* opened = new (std::nothrow) Cursor;
  if (opened == nullptr) return SQLITE_NOMEM;
  *cursor = &opened->base;
  return SQLITE_OK;
}

int close_cursor(sqlite3_vtab_cursor* cursor) {
  delete cursor_of(cursor);
  return SQLITE_OK;
}

template <class Kind>
int filter(sqlite3_vtab_cursor* base, int, const char*, int, sqlite3_value** arguments) {
  Cursor& cursor = *cursor_of(base);
  cursor.rows.clear();
  cursor.at = 0;
  const auto* data = static_cast<const char*>(sqlite3_value_blob(arguments[0]));
  const auto size = static_cast<std::size_t>(sqlite3_value_bytes(arguments[0]));
  const std::string_view bytes(data == nullptr ? "" : data, data == nullptr ? 0 : size);
  try {
    if (Kind::read(bytes, sqlite3_value_int64(arguments[1]), cursor.rows)) return SQLITE_OK;
  } catch (const std::bad_alloc&) {
    return SQLITE_NOMEM;
  }
  base->pVtab->zErrMsg = sqlite3_mprintf("%s: the data of a chunk cannot be read", Kind::kName);
  return SQLITE_CORRUPT_VTAB;
}

int next(sqlite3_vtab_cursor* base) {
  ++cursor_of(base)->at;
  return SQLITE_OK;
}

int at_end(sqlite3_vtab_cursor* base) { return cursor_of(base)->at >= cursor_of(base)->rows.size() ? 1 : 0; }

int column(sqlite3_vtab_cursor* base, sqlite3_context* context, int column) {
  const Cursor& cursor = *cursor_of(base);
  if (column < kColumns) sqlite3_result_int64(context, cursor.rows[cursor.at][static_cast<std::size_t>(column)]);
  return SQLITE_OK;
}

int row_id(sqlite3_vtab_cursor* base, sqlite3_int64* id) {
  *id = static_cast<sqlite3_int64>(cursor_of(base)->at);
  return SQLITE_OK;
}

template <class Kind>
const sqlite3_module& module_of() {
  static const sqlite3_module module = [] {
    sqlite3_module m{};  // no xCreate: it is a function, not a table that could be made
    m.xConnect = connect<Kind>;
    m.xBestIndex = best_index;
    m.xDisconnect = disconnect;
    m.xOpen = open_cursor;
    m.xClose = close_cursor;
    m.xFilter = filter<Kind>;
    m.xNext = next;
    m.xEof = at_end;
    m.xColumn = column;
    m.xRowid = row_id;
    return m;
  }();
  return module;
}

template <class Kind>
void add_function(Connection& connection) {
  if (sqlite3_create_module_v2(connection.handle(), Kind::kName, &module_of<Kind>(), nullptr, nullptr) != SQLITE_OK) {
    throw_sqlite(connection.handle(), connection.path(), "adding functions");
  }
}

}  // namespace

void use_own_views(Connection& connection) {
  add_function<SliceRows>(connection);
  add_function<MemoryRows>(connection);
  connection.execute(own_views_sql());
}

}  // namespace shardscope
