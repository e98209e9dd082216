#pragma once
// The tables of a Nsight Systems export, whatever version wrote it: which there are, and which columns they have, is
// read from the file.
//
//   NsysTables tables(source);
//   tables.read("CUPTI_ACTIVITY_KIND_KERNEL", {"start", "end", "streamId"}, [&](const NsysRow& row) {
//     use(row.integer(0), row.integer(1), row.integer(2));          // nothing if there is no such column
//   });

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "profiler/import/import_source.h"
#include "profiler/store/profile.h"
#include "profiler/store/sqlite.h"

namespace shardscope {

class NsysRow {
 public:
  explicit NsysRow(const Rows& rows) : rows_(rows) {}
  std::optional<std::int64_t> integer(int column) const {
    return rows_.is_integer(column) ? std::optional<std::int64_t>(rows_.integer(column)) : std::nullopt;
  }
  std::string text(int column) const { return rows_.is_text(column) ? rows_.text(column) : std::string(); }

 private:
  const Rows& rows_;
};

class NsysTables {
 public:
  /// Opens it with SQLite's defences on. Throws Error{kParse} if it is so damaged that it has no tables.
  explicit NsysTables(const ImportSource& source);
  bool whole() const { return whole_; }  ///< false: it is cut short, and tables may end early, or be missing

  bool has(const std::string& table) const { return tables_.count(table) != 0; }
  /// Calls f for each row, until the import is cancelled; columns that the table lacks are NULL, and a table that is
  /// not there has no rows. False if the table is damaged from some row on.
  bool read(const std::string& table, std::initializer_list<const char*> columns,
            const std::function<void(const NsysRow&)>& f);
  std::int64_t rows(const std::string& table);
  /// Text of StringIds; empty if there is none. Until the next call.
  const std::string& string(std::optional<std::int64_t> id);
  std::set<std::string> tables_like(const std::string& prefix) const;

 private:
  void find_tables();
  const ImportSource& source_;
  bool whole_ = true;
  Connection connection_;
  std::map<std::string, std::set<std::string>> tables_;  ///< columns by name
  std::unordered_map<std::int64_t, std::string> strings_;
};

}  // namespace shardscope
