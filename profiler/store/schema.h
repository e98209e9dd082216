#pragma once
// The one declaration of the profile's tables and views. The SQL that creates them, the table `schema_doc` inside each
// file, docs/profile.md and the check of files that are opened are all made from it.
//
//   connection.execute(create_sql());
//   for (const SchemaTable& table : schema_tables()) ...
//
// To add a table, or change a view or an index: declare it with `since` a new kSchemaVersion; its migration is made
// from that, and older files are read without it. A changed column needs a Migration of its own. The test that compares
// docs/profile.md with schema_markdown() says how to write it anew.
//
// Our own connections do not use the views that the file holds: they have them anew, as temporary views
// (profiler/store/chunk_tables.h), so that those see packed chunks, and whatever a file's views say is not run.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

inline constexpr int kSchemaVersion = 8;           ///< PRAGMA user_version
inline constexpr int kApplicationId = 0x53485244;  ///< PRAGMA application_id: "SHRD"
inline constexpr std::string_view kSqliteMagic{"SQLite format 3\0", 16};

struct SchemaColumn {
  const char* name;
  const char* type;  ///< INTEGER, REAL or TEXT
  const char* unit;  ///< "ns", "bytes", ...; "" if it has none
  const char* doc;   ///< one sentence
};

struct SchemaTable {
  const char* name;
  const char* doc;
  std::vector<SchemaColumn> columns;
  std::vector<std::string> key;   ///< primary key; one INTEGER column is the rowid, several make a table without rowid
  std::string index;              ///< "name ON table(columns)" or empty
  int since = 1;                  ///< schema version that brought it
  int index_since = 1;            ///< schema version that brought the index as it is
  std::string index_before = {};  ///< the index of that name in versions before
};

struct SchemaView {
  const char* name;
  const char* doc;
  std::vector<SchemaColumn> columns;
  std::string select;
  int since = 1;         ///< schema version that brought it as it is
  std::string own = {};  ///< what our connections select, if another thing: with functions that only they have
};

/// What takes a file from version `to` - 1 to `to`.
struct Migration {
  int to = 0;
  std::string sql;
};

const std::vector<SchemaTable>& schema_tables();
const std::vector<SchemaView>& schema_views();
std::span<const Migration> schema_migrations();

std::string create_sql(const SchemaTable& table);  ///< one statement, without semicolon, as sqlite_schema stores it
std::string create_sql(const SchemaView& view);
std::string index_sql(const SchemaTable& table, int version = kSchemaVersion);  ///< of a table that has one
std::string index_name(const SchemaTable& table);
std::string own_views_sql();    ///< the views as our connections have them
std::string create_sql();       ///< everything, with schema_doc filled, ids and version set
std::string schema_markdown();  ///< docs/profile.md

}  // namespace shardscope
