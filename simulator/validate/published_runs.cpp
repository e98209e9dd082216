#include "simulator/validate/published_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <span>

#include "core/check.h"
#include "core/embedded.h"
#include "core/error.h"
#include "core/spec/csv.h"
#include "core/spec/json_reader.h"

namespace shardscope {

std::span<const EmbeddedFile> embedded_published();  // made from data/published

namespace {

using Run = PublishedRun;

struct TextColumn {
  std::string_view name;
  std::string Run::*member;
  bool needed = false;  ///< the column; a cell may be blank
};
struct CountColumn {
  std::string_view name;
  std::optional<std::int64_t> Run::*member;
  std::int64_t min = 1, max = 1'000'000'000;
  bool needed = false;  ///< the column; a cell may be blank
};
struct RealColumn {
  std::string_view name;
  std::optional<double> Run::*member;
  double max = 1e12;
};

constexpr TextColumn kTexts[] = {{"id", &Run::id, true},
                                 {"source", &Run::origin},
                                 {"model_name", &Run::model_name, true},
                                 {"gpu", &Run::gpu, true},
                                 {"interconnect", &Run::interconnect},
                                 {"framework", &Run::framework, true},
                                 {"dtype", &Run::dtype},
                                 {"offload", &Run::offload},
                                 {"recompute", &Run::recompute},
                                 {"notes", &Run::notes}};

constexpr CountColumn kCounts[] = {{"n_layers", &Run::n_layers, 1, 10'000},
                                   {"hidden", &Run::hidden, 1, 1'000'000},
                                   {"n_heads", &Run::n_heads, 1, 1'000'000},
                                   {"n_kv_heads", &Run::n_kv_heads, 1, 1'000'000},
                                   {"ffn_hidden", &Run::ffn_hidden, 1, 10'000'000},
                                   {"vocab", &Run::vocab, 1, 100'000'000},
                                   {"seq_len", &Run::seq_len},
                                   {"n_gpus", &Run::n_gpus, 1, 10'000'000, true},
                                   {"gpus_per_node", &Run::gpus_per_node, 1, 1024},
                                   {"dp", &Run::dp, 1, 10'000'000},
                                   {"tp", &Run::tp, 1, 10'000'000},
                                   {"pp", &Run::pp, 1, 10'000'000},
                                   {"vpp", &Run::vpp, 1, 10'000},
                                   {"cp", &Run::cp, 1, 10'000'000},
                                   {"ep", &Run::ep, 1, 10'000'000},
                                   {"sp", &Run::sp, 0, 1},
                                   {"zero_stage", &Run::zero_stage, 0, 3},
                                   {"flash_attention", &Run::flash_attention, 0, 1},
                                   {"micro_batch", &Run::micro_batch},
                                   {"global_batch", &Run::global_batch}};

constexpr RealColumn kReals[] = {{"params_billion", &Run::params_billion},
                                 {"step_time_s", &Run::step_time_s},
                                 {"tokens_per_s_per_gpu", &Run::tokens_per_s_per_gpu},
                                 {"tflops_per_gpu", &Run::tflops_per_gpu},
                                 {"mfu_pct", &Run::mfu_pct, 100},
                                 {"mem_gb_per_gpu", &Run::mem_gb_per_gpu}};

/// "usp" of "usp-012"; without a number at its end, what the source column says.
std::string group_of(const Run& run) {
  const auto last = run.id.find_last_not_of("0123456789");
  const bool numbered = last != std::string::npos && last > 0 && last + 1 < run.id.size() && run.id[last] == '-';
  if (numbered) return run.id.substr(0, last);
  return run.origin.empty() ? "all" : run.origin;
}

char quality_of(const std::string& notes) {
  return notes.size() >= 3 && notes.starts_with("Q=") && notes[2] >= 'A' && notes[2] <= 'C' ? notes[2] : ' ';
}

/// One row's cells by column name; the first complaint stays.
class RowReader {
 public:
  RowReader(const CsvTable& table, const CsvRow& row) : table_(table), row_(row), why_(row.problem) {}

  std::string_view cell(std::string_view column, bool needed) {
    const auto at = table_.column(column);
    const std::string_view text = at && *at < row_.cells.size() ? std::string_view(row_.cells[*at]) : "";
    if (needed && text.empty()) complain(fmt::format("{} is blank", column));
    return text;
  }

  std::optional<std::int64_t> count(const CountColumn& column) {
    const std::string_view text = cell(column.name, false);
    if (text.empty()) return std::nullopt;
    const auto value = csv_integer(text);
    if (value && *value >= column.min && *value <= column.max) return value;
    complain(fmt::format("{} is \"{}\"; it must be a whole number from {} to {}", column.name, printable(text),
                         column.min, column.max));
    return std::nullopt;
  }

  std::optional<double> real(const RealColumn& column) {
    const std::string_view text = cell(column.name, false);
    if (text.empty()) return std::nullopt;
    const auto value = csv_real(text);
    if (value && *value > 0 && *value <= column.max) return value;
    complain(fmt::format("{} is \"{}\"; it must be a number above 0{}", column.name, printable(text),
                         column.max < 1e12 ? fmt::format(", at most {:g}", column.max) : ""));
    return std::nullopt;
  }

  const std::string& why() const { return why_; }

 private:
  void complain(std::string what) {
    if (why_.empty()) why_ = std::move(what);
  }

  const CsvTable& table_;
  const CsvRow& row_;
  std::string why_;
};

Run read_run(RowReader& reader, int line) {
  Run run{.line = line};
  for (const TextColumn& column : kTexts)
    run.*column.member = printable(reader.cell(column.name, column.name == "id"), 2000);
  for (const CountColumn& column : kCounts) run.*column.member = reader.count(column);
  for (const RealColumn& column : kReals) run.*column.member = reader.real(column);
  run.source = group_of(run);
  run.quality = quality_of(run.notes);
  return run;
}

void check_column(const CsvTable& table, std::string_view name, const std::string& file) {
  if (table.column(name)) return;
  const std::vector<std::string_view> columns(table.columns.begin(), table.columns.end());
  const auto near = nearest_name(name, columns);
  throw Error(ErrorKind::kParse, fmt::format("{}:1: there is no column {}{}", file, name,
                                             near ? fmt::format("; there is \"{}\"", printable(*near)) : ""));
}

}  // namespace

PublishedRuns parse_published_runs(std::string_view csv, const std::string& file_name) {
  const CsvTable table = parse_csv(csv);
  for (const TextColumn& column : kTexts) {
    if (column.needed) check_column(table, column.name, file_name);
  }
  for (const CountColumn& column : kCounts) {
    if (column.needed) check_column(table, column.name, file_name);
  }
  PublishedRuns out;
  for (const CsvRow& row : table.rows) {
    RowReader reader(table, row);
    Run run = read_run(reader, row.line);
    if (reader.why().empty()) {
      out.runs.push_back(std::move(run));
    } else {
      out.broken.push_back({row.line, run.id, reader.why()});
    }
  }
  if (!out.runs.empty()) return out;
  if (out.broken.empty()) throw Error(ErrorKind::kParse, file_name + ": has no rows");
  throw Error(ErrorKind::kParse, fmt::format("{}:{}: {}; all {} rows are broken", file_name, out.broken[0].line,
                                             out.broken[0].why, out.broken.size()));
}

std::string_view published_runs_csv() {
  for (const EmbeddedFile& file : embedded_published()) {
    if (file.path == "published_runs.csv") return file.text;
  }
  SS_CHECK(false, "published_runs.csv");
}

}  // namespace shardscope
