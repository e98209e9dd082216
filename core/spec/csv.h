#pragma once
// Tables as comma-separated text (RFC 4180: quotes, doubled quotes inside them). A row that is broken says so and costs
// no other row.
//
//   const CsvTable table = parse_csv(text);
//   for (const CsvRow& row : table.rows) if (row.problem.empty()) use(row.cells[*table.column("gpu")]);

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

struct CsvRow {
  int line = 0;                    ///< of the file, from 1, where the row begins
  std::vector<std::string> cells;  ///< as many as there are columns, unless there is a problem
  std::string problem;             ///< "has 3 cells; the head has 4"
};

struct CsvTable {
  std::vector<std::string> columns;  ///< of the first line, without blanks around
  std::vector<CsvRow> rows;          ///< without empty lines
  std::optional<std::size_t> column(std::string_view name) const;
};

/// A quoted cell may span lines, but not more than 64 KiB: one that is not closed ends its own line only.
CsvTable parse_csv(std::string_view text);

/// Whole finite numbers only, blanks around them allowed; "4096.0" is an integer.
std::optional<double> csv_real(std::string_view cell);
std::optional<std::int64_t> csv_integer(std::string_view cell);

/// In quotes if it must be.
std::string csv_cell(std::string_view text);

}  // namespace shardscope
