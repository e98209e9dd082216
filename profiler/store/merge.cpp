#include "profiler/store/merge.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <vector>

#include "core/error.h"
#include "profiler/store/open_store.h"
#include "profiler/store/profile.h"
#include "profiler/store/recover.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPartMark = ".rank";

bool is_part(const std::string& name, const std::string& whole) {
  const std::string prefix = whole + std::string(kPartMark);
  if (!name.starts_with(prefix) || name.size() == prefix.size()) return false;
  return std::all_of(name.begin() + static_cast<std::ptrdiff_t>(prefix.size()), name.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> parts_of(const std::string& path) {
  const fs::path whole(path);
  const fs::path folder = whole.has_parent_path() ? whole.parent_path() : fs::path(".");
  std::vector<std::string> parts;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (is_part(name, whole.filename().string())) parts.push_back(path + name.substr(whole.filename().string().size()));
  }
  std::sort(parts.begin(), parts.end());
  return parts;
}

/// Whether nobody else has the file open: only then can its log be folded into it.
bool is_abandoned(const std::string& part) {
  Connection connection(part, Connection::Mode::kReadWrite);
  try {
    return connection.text("PRAGMA journal_mode = DELETE") == "delete";
  } catch (const Error&) {
    if (is_busy(connection.handle())) return false;
    throw;
  }
}

/// Columns of a table, "a, b, c", with some replaced by expressions.
std::string columns(const char* table, const std::vector<std::pair<std::string, std::string>>& replaced) {
  std::string list;
  for (const SchemaTable& t : schema_tables()) {
    if (std::string_view(t.name) != table) continue;
    for (const SchemaColumn& c : t.columns) {
      std::string value = "s." + std::string(c.name);
      for (const auto& [column, expression] : replaced) {
        if (column == c.name) value = expression;
      }
      list += (list.empty() ? "" : ", ") + value;
    }
  }
  return list;
}

void copy_table(Connection& db, const char* table, const std::vector<std::pair<std::string, std::string>>& replaced) {
  db.execute("INSERT INTO main." + std::string(table) + " SELECT " + columns(table, replaced) + " FROM source." +
             table + " s");
}

/// temp.new_run(old, new): runs of the source that are known by their key keep the target's id.
void copy_runs(Connection& db) {
  db.execute(
      "CREATE TEMP TABLE new_run AS SELECT s.id AS old, coalesce(t.id, s.id + (SELECT coalesce(max(id), 0) FROM "
      "main.run)) AS new, t.id IS NOT NULL AS known FROM source.run s LEFT JOIN main.run t ON t.key = s.key");
  const std::string new_id = "(SELECT new FROM temp.new_run WHERE old = s.id)";
  db.execute("INSERT INTO main.run SELECT " + columns("run", {{"id", new_id}}) +
             " FROM source.run s WHERE s.id IN (SELECT old FROM temp.new_run WHERE NOT known)");
  // A run is as finished as the least finished of its parts.
  db.execute(
      "UPDATE main.run SET status = 'interrupted' WHERE status = 'finished' AND id IN (SELECT n.new FROM temp.new_run "
      "n "
      "JOIN source.run s ON s.id = n.old WHERE n.known AND s.status <> 'finished')");
}

std::string offset(Connection& db, const char* table) {
  return std::to_string(db.integer("SELECT coalesce(max(id), 0) FROM main." + std::string(table)));
}

/// What version 4 brought.
void copy_imported(Connection& db, const std::pair<std::string, std::string>& run, const std::string& program,
                   const std::string& track) {
  const std::pair<std::string, std::string> new_program{"program", "s.program + " + program};
  const std::string source = offset(db, "source");
  copy_table(db, "source", {{"id", "s.id + " + source}, run});
  copy_table(db, "source_count", {{"source", "s.source + " + source}});
  copy_table(db, "loss", {{"id", "s.id + " + offset(db, "loss")}, run});
  copy_table(db, "collective_call", {run, {"track", "s.track + " + track}});
  for (const char* table : {"op_launch", "op_collective"}) copy_table(db, table, {new_program});
  for (const char* table : {"device", "clock"}) copy_table(db, table, {run});
}

void copy_all(Connection& db) {
  copy_runs(db);
  const std::string program = offset(db, "program"), track = offset(db, "track"), chunk = offset(db, "slice_chunk"),
                    memory = offset(db, "memory_chunk"), diagnostic = offset(db, "diagnostic");
  const std::pair<std::string, std::string> run{"run", "(SELECT new FROM temp.new_run WHERE old = s.run)"};
  const auto text = [](const char* column) {
    return std::pair<std::string, std::string>{
        column, "(SELECT t.id FROM main.string t JOIN source.string o ON o.text = t.text WHERE o.id = s." +
                    std::string(column) + ")"};
  };
  db.execute("INSERT OR IGNORE INTO main.string (text) SELECT text FROM source.string");
  copy_table(db, "program", {{"id", "s.id + " + program}, run});
  copy_table(db, "op_row",
             {{"program", "s.program + " + program},
              text("kind"),
              text("lane"),
              text("phase"),
              text("name"),
              text("group_name")});
  copy_table(db, "rank", {run, {"program", "s.program + " + program}});
  copy_table(db, "track", {{"id", "s.id + " + track}, run});
  copy_table(db, "slice_chunk", {{"id", "s.id + " + chunk}, {"track", "s.track + " + track}});
  const std::int64_t version = db.integer("PRAGMA source.user_version");
  if (version >= 4) copy_imported(db, run, program, track);
  if (version >= 2) {
    copy_table(db, "level_chunk", {{"id", "s.id + " + offset(db, "level_chunk")}, {"track", "s.track + " + track}});
  }
  if (version >= 3) {
    copy_table(db, "op_buffer", {{"program", "s.program + " + program}, text("name")});
    copy_table(db, "memory_level", {{"id", "s.id + " + offset(db, "memory_level")}, run});
  }
  if (version >= 5) {
    copy_table(db, "rank_group", {run});
    copy_table(db, "op_after", {{"program", "s.program + " + program}});
  }
  if (version >= 6) copy_table(db, "op_counter", {run});
  if (version >= 7) {
    for (const char* table : {"external_id", "device_sample"}) copy_table(db, table, {run});
  }
  copy_table(db, "memory_chunk", {{"id", "s.id + " + memory}, run});
  copy_table(db, "diagnostic", {{"id", "s.id + " + diagnostic}, run});
  for (const char* table : {"op_total", "step", "memory_peak"}) copy_table(db, table, {run});
}

void attach(Connection& db, const std::string& source) {
  Statement(db, "ATTACH ? AS source").run(source[0] == '/' ? source : "./" + source);
}

}  // namespace

std::string part_path(const std::string& path, int rank) {
  return path + std::string(kPartMark) + std::to_string(rank);
}

bool has_parts(const std::string& path) { return !parts_of(path).empty(); }

void merge_parts(const std::string& path) {
  const std::vector<std::string> parts = parts_of(path);
  const fs::path folder = fs::path(path).parent_path();
  if (!parts.empty() && ::faccessat(AT_FDCWD, folder.empty() ? "." : folder.c_str(), W_OK, AT_EACCESS) != 0) {
    throw Error(ErrorKind::kIo, path + ": " + std::to_string(parts.size()) +
                                    " files of its ranks lie beside it, which are to be merged into it, and nothing "
                                    "can be written there; copy all of them to a folder where it can");
  }
  for (const std::string& part : parts) {
    recover_events(part);
    if (!is_abandoned(part)) continue;
    merge_profile(path, part);
    std::error_code error;
    fs::remove(part, error);  // merged twice would be refused, so a failure here is seen
  }
}

void merge_profile(const std::string& target, const std::string& source) {
  { Connection check = open_for_reading(source); }
  Connection db = open_for_writing(target);
  attach(db, source);
  {
    Transaction transaction(db);
    const std::int64_t twice = db.integer(
        "SELECT count(*) FROM source.rank s JOIN source.run r ON r.id = s.run JOIN main.run m ON m.key = r.key "
        "JOIN main.rank k ON k.run = m.id AND k.rank = s.rank");
    if (twice > 0) throw Error(ErrorKind::kParse, source + ": " + target + " already holds ranks of its runs");
    copy_all(db);
    transaction.commit();
  }
  db.execute("DROP TABLE temp.new_run; DETACH source");
  db.execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
}

}  // namespace shardscope
