#include "profiler/query/import_facts.h"

namespace shardscope {

std::vector<ImportedFile> imported_files(const Profile& profile, std::int64_t run) {
  std::vector<ImportedFile> files;
  if (profile.schema_version() < 4) return files;
  Rows rows = profile.rows(
      "SELECT id, rank, file, format, tool, version, known_rank, world, base_ns, first_ns, last_ns, origin_ns FROM "
      "source WHERE run = ? ORDER BY rank, id",
      {Value(run)});
  const auto number = [&](int column) {
    return rows.is_null(column) ? std::nullopt : std::optional<std::int64_t>(rows.integer(column));
  };
  while (rows.next()) {
    ImportedFile& file = files.emplace_back();
    file.rank = rows.small(1);
    file.file = rows.text(2);
    file.format = rows.text(3);
    if (!rows.is_null(4)) file.tool = rows.text(4);
    if (!rows.is_null(5)) file.version = rows.text(5);
    file.said_rank = number(6);
    file.world = number(7);
    file.base_ns = number(8);
    file.first_ns = number(9);
    file.last_ns = number(10);
    file.origin_ns = rows.integer(11);
    Rows counts = profile.rows("SELECT name, value FROM source_count WHERE source = ?", {Value(rows.integer(0))});
    while (counts.next()) file.counts[counts.text(0)] = counts.integer(1);
  }
  return files;
}

std::vector<Diagnostic> diagnostics(const Profile& profile, std::int64_t run) {
  std::vector<Diagnostic> found;
  Rows rows = profile.rows("SELECT rank, kind, text, count FROM diagnostic WHERE run = ? ORDER BY id", {Value(run)});
  while (rows.next()) found.push_back({rows.small(0), rows.text(1), rows.text(2), rows.integer(3)});
  return found;
}

}  // namespace shardscope
