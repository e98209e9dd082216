// shardscope query: one read-only SQL statement on a profile.

#include <fmt/format.h>
#include <sqlite3.h>

#include <array>
#include <cmath>
#include <memory>

#include "cli/command.h"
#include "cli/run_json.h"
#include "cli/text_table.h"
#include "core/error.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string path, sql;
  std::int64_t limit = 1000;
  bool json = false, csv = false;
};

/// SELECT over what the file holds, and nothing else: no ATTACH, no PRAGMA but those that describe a table.
int authorize(void*, int action, const char* name, const char*, const char*, const char*) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_FUNCTION:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    case SQLITE_PRAGMA: {
      const std::string_view pragma(name == nullptr ? "" : name);
      return pragma == "table_info" || pragma == "table_list" ? SQLITE_OK : SQLITE_DENY;
    }
    default:
      return SQLITE_DENY;
  }
}

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Query = std::unique_ptr<sqlite3_stmt, Finalize>;

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorKind::kConfig, "query: " + why); }

Query prepare(const Profile& profile, const std::string& sql) {
  sqlite3_set_authorizer(profile.handle(), authorize, nullptr);
  sqlite3_stmt* statement = nullptr;
  const char* rest = nullptr;
  const int code = sqlite3_prepare_v2(profile.handle(), sql.c_str(), static_cast<int>(sql.size()), &statement, &rest);
  Query query(statement);
  if (code == SQLITE_AUTH) refuse("only SELECT is allowed; a profile is not changed");
  if (code != SQLITE_OK) refuse(sqlite3_errmsg(profile.handle()));
  if (statement == nullptr) refuse("the statement is empty; ask for example \"SELECT * FROM step_breakdown\"");
  if (sqlite3_stmt_readonly(statement) == 0) refuse("only SELECT is allowed; a profile is not changed");
  const std::string tail(rest);
  if (tail.find_first_not_of(" \t\r\n;") != std::string::npos)
    refuse("one statement at a time; there is text after the first");
  return query;
}

nlohmann::json cell_json(sqlite3_stmt* row, int column) {
  switch (sqlite3_column_type(row, column)) {
    case SQLITE_INTEGER:
      return sqlite3_column_int64(row, column);
    case SQLITE_FLOAT:
      return sqlite3_column_double(row, column);
    case SQLITE_NULL:
      return nullptr;
    default: {
      const void* data = sqlite3_column_blob(row, column);
      const auto size = static_cast<std::size_t>(sqlite3_column_bytes(row, column));
      return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
    }
  }
}

std::string cell_text(sqlite3_stmt* row, int column) {
  const nlohmann::json cell = cell_json(row, column);
  if (cell.is_string()) return cell.get<std::string>();
  return cell.is_null() ? "" : cell.dump();
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::vector<std::string> column_names(sqlite3_stmt* query) {
  std::vector<std::string> names;
  for (int c = 0; c < sqlite3_column_count(query); ++c) {
    const char* name = sqlite3_column_name(query, c);
    names.emplace_back(name == nullptr ? "" : name);
  }
  return names;
}

/// Calls row() for each row up to the limit (0: all); true if there were more.
template <class F>
bool for_each_row(const Profile& profile, sqlite3_stmt* query, std::int64_t limit, F&& row) {
  for (std::int64_t count = 0;; ++count) {
    const int code = sqlite3_step(query);
    if (code == SQLITE_DONE) return false;
    if (code != SQLITE_ROW) throw Error(ErrorKind::kParse, profile.path() + ": " + sqlite3_errmsg(profile.handle()));
    if (limit > 0 && count == limit) return true;
    row();
  }
}

std::vector<std::string> row_texts(sqlite3_stmt* query) {
  std::vector<std::string> cells;
  cells.reserve(static_cast<std::size_t>(sqlite3_column_count(query)));
  for (int c = 0; c < sqlite3_column_count(query); ++c) cells.push_back(cell_text(query, c));
  return cells;
}

bool print_json(const Profile& profile, sqlite3_stmt* query, std::int64_t limit) {
  nlohmann::json rows = nlohmann::json::array();
  const bool more = for_each_row(profile, query, limit, [&] {
    nlohmann::json row = nlohmann::json::array();
    for (int c = 0; c < sqlite3_column_count(query); ++c) row.push_back(cell_json(query, c));
    rows.push_back(std::move(row));
  });
  fmt::print("{}", to_line({{"columns", column_names(query)}, {"rows", std::move(rows)}, {"truncated", more}}));
  return more;
}

bool print_csv(const Profile& profile, sqlite3_stmt* query, std::int64_t limit) {
  const auto print = [](const std::vector<std::string>& cells) {
    std::string line;
    for (std::size_t c = 0; c < cells.size(); ++c) line += (c == 0 ? "" : ",") + csv_cell(cells[c]);
    fmt::print("{}\n", line);
  };
  print(column_names(query));
  return for_each_row(profile, query, limit, [&] { print(row_texts(query)); });
}

bool print_table(const Profile& profile, sqlite3_stmt* query, std::int64_t limit) {
  TextTable table(column_names(query), 0);
  const bool more = for_each_row(profile, query, limit, [&] { table.add(row_texts(query)); });
  fmt::print("{}", table.text());
  return more;
}

void run(const Options& o) {
  const Profile profile(o.path);
  const Query query = prepare(profile, o.sql);
  const bool more = o.json  ? print_json(profile, query.get(), o.limit)
                    : o.csv ? print_csv(profile, query.get(), o.limit)
                            : print_table(profile, query.get(), o.limit);
  if (more) fmt::print(stderr, "shardscope: only the first {} rows; --limit 0 shows all\n", o.limit);
}

}  // namespace

void add_query(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("query", "Run one read-only SQL statement on a profile.");
  command->add_option("profile", options->path, "The profile")->required()->type_name("RUN.db");
  command->add_option("sql", options->sql, "A SELECT statement")->required()->type_name("SQL");
  command->add_option("--limit", options->limit, "Print at most this many rows; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  CLI::Option* json = command->add_flag("--json", options->json, "One JSON object: columns, rows, truncated");
  command->add_flag("--csv", options->csv, "Comma-separated values with a head line")->excludes(json);
  command->footer(
      "Examples:\n"
      "  shardscope query run.db 'SELECT * FROM step_breakdown'\n"
      "  shardscope query run.db 'SELECT kind, total_ms FROM op_summary WHERE run = 1' --csv\n"
      "  shardscope query run.db \"SELECT column_name, unit, text FROM schema_doc WHERE name = 'step'\"\n"
      "The tables and views are described in docs/profile.md and in the table schema_doc.");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
