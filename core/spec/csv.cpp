#include "core/spec/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace shardscope {
namespace {

constexpr std::size_t kLongestCell = std::size_t{1} << 16;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;  // a byte order mark
  }

  bool done() const { return at_ >= text_.size(); }

  CsvRow row() {
    CsvRow row{.line = line_};
    const std::size_t begin = at_;
    while (row.problem.empty()) {
      row.cells.push_back(cell(row.problem));
      if (done() || !row.problem.empty() || text_[at_] != ',') break;
      ++at_;
    }
    if (!row.problem.empty()) at_ = begin, line_ = row.line;
    skip_line();
    return row;
  }

 private:
  std::string cell(std::string& problem) {
    if (!done() && text_[at_] == '"') return quoted(problem);
    const auto end = std::min(text_.size(), text_.find_first_of(",\n", at_));
    std::string out(trimmed(text_.substr(at_, end - at_)));
    at_ = end;
    return out;
  }

  std::string quoted(std::string& problem) {
    std::string out;
    for (++at_; !done() && out.size() < kLongestCell; ++at_) {
      if (text_[at_] == '"') {
        if (at_ + 1 == text_.size() || text_[at_ + 1] != '"') return after_quotes(std::move(out), problem);
        ++at_;
      }
      if (text_[at_] == '\n') ++line_;
      out += text_[at_];
    }
    problem = "has a quote that is not closed";
    return out;
  }

  std::string after_quotes(std::string out, std::string& problem) {
    ++at_;
    while (!done() && (text_[at_] == '\r' || text_[at_] == ' ')) ++at_;
    if (!done() && text_[at_] != ',' && text_[at_] != '\n') {
      problem = "has text after a closing quote; a quote inside quotes must be doubled";
    }
    return out;
  }

  void skip_line() {
    at_ = std::min(text_.size(), text_.find('\n', at_));
    if (!done()) ++at_, ++line_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
};

bool is_blank(const CsvRow& row) { return row.problem.empty() && row.cells.size() == 1 && row.cells[0].empty(); }

}  // namespace

std::optional<std::size_t> CsvTable::column(std::string_view name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end()) return std::nullopt;
  return static_cast<std::size_t>(found - columns.begin());
}

CsvTable parse_csv(std::string_view text) {
  Reader reader(text);
  CsvTable table;
  while (!reader.done()) {
    CsvRow row = reader.row();
    if (is_blank(row)) continue;
    if (table.columns.empty()) {
      table.columns = std::move(row.cells);
      continue;
    }
    if (row.problem.empty() && row.cells.size() != table.columns.size()) {
      row.problem = fmt::format("has {} cells; the head has {}", row.cells.size(), table.columns.size());
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::optional<double> csv_real(std::string_view cell) {
  cell = trimmed(cell);
  double value = 0;
  const auto [end, code] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (code != std::errc{} || end != cell.data() + cell.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<std::int64_t> csv_integer(std::string_view cell) {
  const auto value = csv_real(cell);
  if (!value || *value != std::floor(*value) || std::abs(*value) > 9e15) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\n\r") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

}  // namespace shardscope
