#include "simulator/planner/intervals.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <tuple>

#include "core/check.h"
#include "core/embedded.h"
#include "core/error.h"
#include "core/spec/csv.h"

namespace shardscope {

std::span<const EmbeddedFile> embedded_calibration();  // made from data/calibration

namespace {

constexpr std::array<std::string_view, 8> kColumns{"framework", "min_gpus", "max_gpus", "low",
                                                   "median",    "high",     "rows",     "source"};

[[noreturn]] void fail(const std::string& file, int line, const std::string& what) {
  throw Error(ErrorKind::kParse, fmt::format("{}:{}: {}", file, line, what));
}

double number_at(const CsvRow& row, std::size_t column, const std::string& file) {
  const auto value = csv_real(row.cells[column]);
  if (value && *value >= 0) return *value;
  fail(file, row.line, fmt::format("{} must be a number, at least 0", kColumns[column]));
}

IntervalRow read_row(const CsvRow& row, const std::string& file) {
  if (!row.problem.empty()) fail(file, row.line, row.problem);
  IntervalRow interval{.framework = row.cells[0],
                       .min_gpus = static_cast<int>(number_at(row, 1, file)),
                       .max_gpus = static_cast<int>(number_at(row, 2, file)),
                       .low = number_at(row, 3, file),
                       .median = number_at(row, 4, file),
                       .high = number_at(row, 5, file),
                       .rows = static_cast<int>(number_at(row, 6, file)),
                       .source = row.cells[7]};
  if (!(interval.low > 0 && interval.low <= interval.median && interval.median <= interval.high))
    fail(file, row.line, "low must be above 0 and not above median, nor that above high");
  return interval;
}

}  // namespace

std::vector<IntervalRow> parse_intervals(std::string_view csv, const std::string& file_name) {
  const CsvTable table = parse_csv(csv);
  if (!std::equal(table.columns.begin(), table.columns.end(), kColumns.begin(), kColumns.end())) {
    fail(file_name, 1, fmt::format("the columns must be {}", fmt::join(kColumns, ",")));
  }
  std::vector<IntervalRow> rows;
  for (const CsvRow& row : table.rows) rows.push_back(read_row(row, file_name));
  const bool any = std::any_of(rows.begin(), rows.end(), [](const IntervalRow& r) {
    return r.framework == "any" && r.min_gpus <= 1 && r.max_gpus == 0;
  });
  if (!any) fail(file_name, 1, "there must be a row any,1,0: what holds where no other does");
  return rows;
}

const std::vector<IntervalRow>& default_intervals() {
  static const std::vector<IntervalRow> kRows = [] {
    for (const EmbeddedFile& file : embedded_calibration()) {
      if (file.path == "intervals.csv") return parse_intervals(file.text, "data/calibration/intervals.csv");
    }
    SS_CHECK(false, "data/calibration/intervals.csv is not embedded");
    return std::vector<IntervalRow>();
  }();
  return kRows;
}

const IntervalRow& find_interval(const std::vector<IntervalRow>& rows, std::string_view framework, int gpus) {
  const IntervalRow* best = nullptr;
  const auto rank = [&](const IntervalRow& r) {
    return std::tuple(r.framework == "any", r.max_gpus == 0 ? INT32_MAX : r.max_gpus - r.min_gpus);
  };
  for (const IntervalRow& r : rows) {
    const bool matches = (r.framework == "any" || framework.starts_with(r.framework)) && gpus >= r.min_gpus &&
                         (r.max_gpus == 0 || gpus <= r.max_gpus);
    if (matches && (best == nullptr || rank(r) < rank(*best))) best = &r;
  }
  SS_CHECK(best != nullptr, framework, gpus);
  return *best;
}

}  // namespace shardscope
