#include "profiler/store/schema.h"

namespace shardscope {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

std::string joined(const std::vector<std::string>& parts, const char* separator) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : separator) + part;
  return out;
}

bool is_rowid(const SchemaTable& table) {
  if (table.key.size() != 1) return false;
  for (const SchemaColumn& column : table.columns) {
    if (table.key[0] == column.name) return std::string_view(column.type) == "INTEGER";
  }
  return false;
}

std::string doc_row(const char* name, const char* column, const char* type, const char* unit, const char* text) {
  return "INSERT INTO schema_doc VALUES (" + quoted(name) + "," + quoted(column) + "," + quoted(type) + "," +
         quoted(unit) + "," + quoted(text) + ");\n";
}

template <class TableOrView>
std::string doc_rows(const TableOrView& table, const char* what) {
  std::string sql = doc_row(table.name, "", what, "", table.doc);
  for (const SchemaColumn& c : table.columns) sql += doc_row(table.name, c.name, c.type, c.unit, c.doc);
  return sql;
}

template <class TableOrView>
std::string markdown_section(const TableOrView& table) {
  std::string text = "\n### " + std::string(table.name) + "\n\n" + table.doc +
                     "\n\n| column | type | unit | meaning |\n" + "|---|---|---|---|\n";
  for (const SchemaColumn& c : table.columns) {
    text += "| " + std::string(c.name) + " | " + c.type + " | " + c.unit + " | " + c.doc + " |\n";
  }
  return text;
}

std::string forget_doc(const char* name) { return "DELETE FROM schema_doc WHERE name = " + quoted(name) + ";\n"; }

/// The tables that a version brought, and the indices and views that it changed, with their documentation.
std::string migration_sql(int version) {
  std::string sql;
  for (const SchemaTable& table : schema_tables()) {
    if (table.since == version) {
      sql += create_sql(table) + ";\n" + (table.index.empty() ? "" : index_sql(table, version) + ";\n");
    } else if (table.index_since == version) {
      sql += "DROP INDEX " + index_name(table) + ";\n" + index_sql(table, version) + ";\n";
    }
    if (table.since <= version) sql += forget_doc(table.name) + doc_rows(table, "table");
  }
  for (const SchemaView& view : schema_views()) {
    if (view.since != version) continue;
    sql += "DROP VIEW IF EXISTS main." + std::string(view.name) + ";\n" + create_sql(view) + ";\n";
    sql += forget_doc(view.name) + doc_rows(view, "view");
  }
  return sql + "UPDATE meta SET value = '" + std::to_string(version) + "' WHERE key = 'schema_version';\n";
}

constexpr const char* kMarkdownHead = R"(# The profile

A profile is one SQLite 3 file; `sqlite3 run.db "select * from step_breakdown"` works, and so does any other tool. It
holds one or more runs, measured or predicted, as rows with a run id. An op has the same index in both, so a prediction
can be laid over a measurement op by op.

Start with the views. This page is made from the declaration in `profiler/store/schema_tables.cpp` and
`schema_views.cpp`; the same text is in the table `schema_doc` of every profile.

- `PRAGMA application_id` is 0x53485244 ("SHRD"), `PRAGMA user_version` is the schema version. A newer version than the
  reader's is refused; an older one is read as it is, and migrated when something is next recorded into it.
- Times are integer nanoseconds since the start of the run. GB is 1e9 bytes, MiB is 2^20.
- Recording: `slice()` appends to a buffer of its lane; one thread writes what came in every half second, in one
  transaction, with a write-ahead log. Until then a measured run's events wait in `RUN.db-events-KEY`, a file of 32 MiB
  that is mapped into the process: of a run that was killed nothing is lost, since whoever opens the profile next
  brings them into it, and divides their steps. (Where there is no room for the file, or events come faster than it is
  emptied, they wait in memory: then killing loses up to half a second, and events missed in between are counted in
  `loss`. It does not survive the machine.) What a run that ends writes in addition: `op_total`, final peaks, the
  status. For a run that did not end, the view `op_time` makes the same sums from the slices.
- While a run is recorded its slices and memory samples are JSON, and the views `slice` and `memory` show them in any SQLite
  tool. A long run is packed when it ends, and so is what was imported (`shardscope compact` packs the rest): a
  third of the size, but in a form that plain SQLite does not read, so that there those two views, and `op_time` of a run that did
  not end, show only what is JSON. In Shardscope, and in `shardscope query`, all views show everything.
- Packed data is a blob: byte 1; the number of rows; then column after column its coding (0: one value for all rows,
  1: values, 2: differences, 3: runs of a difference and a length), its size in bytes, and its varints (LEB128; differences zigzag).
- Levels of detail (`level_chunk`, `memory_level`) are made when a run ends, so that a picture of a whole run reads about
  as many rows as it has pixels. They can be made again from the slices and the samples of memory; readers do so where
  they are missing.
- `shardscope train --counters` adds what the processor counted in each op (`op_counter`): cycles, instructions and cache misses
  where the kernel lets us count them, and always processor time and page faults.
- A full disk stops the recording, not the run. The row `stopped` in `diagnostic` says so if it could still be written.
- Ranks in several processes write `RUN.db.rank0`, `RUN.db.rank1`, ...: complete profiles of their own, joined by the
  run's key at the end, or, if they were killed, by whoever opens RUN.db next.
- No foreign keys are declared, since checking them costs time while recording; the sentences name what is meant.
)";

}  // namespace

std::span<const Migration> schema_migrations() {
  static const std::vector<Migration> migrations = [] {
    std::vector<Migration> all;
    for (int version = 2; version <= kSchemaVersion; ++version) all.push_back({version, migration_sql(version)});
    return all;
  }();
  return migrations;
}

std::string create_sql(const SchemaTable& table) {
  const bool rowid = is_rowid(table);
  std::vector<std::string> lines;
  for (const SchemaColumn& c : table.columns) {
    const bool key = rowid && table.key[0] == c.name;
    lines.push_back("  " + std::string(c.name) + " " + c.type + (key ? " PRIMARY KEY" : ""));
  }
  if (!rowid) lines.push_back("  PRIMARY KEY (" + joined(table.key, ", ") + ")");
  return "CREATE TABLE " + std::string(table.name) + " (\n" + joined(lines, ",\n") + "\n)" +
         (rowid ? "" : " WITHOUT ROWID");
}

std::string index_sql(const SchemaTable& table, int version) {
  constexpr std::string_view kUnique = "UNIQUE ";
  const std::string& index = version < table.index_since ? table.index_before : table.index;
  const bool unique = index.starts_with(kUnique);
  return unique ? "CREATE UNIQUE INDEX " + index.substr(kUnique.size()) : "CREATE INDEX " + index;
}

std::string index_name(const SchemaTable& table) {
  const std::string sql = index_sql(table);
  const std::size_t begin = sql.find("INDEX ") + 6;
  return sql.substr(begin, sql.find(' ', begin) - begin);
}

std::string create_sql(const SchemaView& view) {
  return "CREATE VIEW " + std::string(view.name) + " AS\n" + view.select;
}

std::string own_views_sql() {
  std::string sql;
  for (const SchemaView& view : schema_views()) {
    sql += "CREATE TEMP VIEW " + std::string(view.name) + " AS\n" + (view.own.empty() ? view.select : view.own) + ";\n";
  }
  return sql;
}

std::string create_sql() {
  std::string sql;
  for (const SchemaTable& table : schema_tables()) {
    sql += create_sql(table) + ";\n";
    if (!table.index.empty()) sql += index_sql(table) + ";\n";
  }
  for (const SchemaView& view : schema_views()) sql += create_sql(view) + ";\n";
  for (const SchemaTable& table : schema_tables()) sql += doc_rows(table, "table");
  for (const SchemaView& view : schema_views()) sql += doc_rows(view, "view");
  sql += "INSERT INTO meta VALUES ('schema_version', '" + std::to_string(kSchemaVersion) + "');\n";
  sql += "INSERT INTO meta VALUES ('created_by', 'shardscope');\n";
  sql += "PRAGMA application_id = " + std::to_string(kApplicationId) + ";\n";
  return sql + "PRAGMA user_version = " + std::to_string(kSchemaVersion) + ";\n";
}

std::string schema_markdown() {
  std::string text = kMarkdownHead;
  text += "\n## Views (schema version " + std::to_string(kSchemaVersion) + ")\n";
  for (const SchemaView& view : schema_views()) text += markdown_section(view);
  text += "\n## Tables\n";
  for (const SchemaTable& table : schema_tables()) text += markdown_section(table);
  return text;
}

}  // namespace shardscope
