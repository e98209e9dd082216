// What DeepSpeed prints: each collective and the summary of comms_logger, and the times of wall_clock_breakdown. Lines
// carry the time to a millisecond, when they were printed: a collective has ended then, and a step's parts end one
// after the other. Sizes are rounded as they are printed ("678.86 MB"). Source: deepspeed/utils/comms_logging.py,
// utils/timer.py, utils/logging.py (0.6 to 0.17).

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>

#include "core/error.h"
#include "profiler/import/importer.h"
#include "profiler/import/names.h"

namespace shardscope {
namespace {

constexpr std::size_t kLongestLine = 1 << 16;
constexpr std::int64_t kMostPlaced = 1 << 20;  ///< executions of one row of a summary
constexpr double kMostMs = 1e9;

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::optional<double> number_at(std::string_view text) {
  text = trimmed(text);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && std::isfinite(value) && value >= 0 ? std::optional(value) : std::nullopt;
}

/// ns of some ms.
std::optional<std::int64_t> ms_at(std::string_view text) {
  const auto ms = number_at(text);
  return ms && *ms < kMostMs ? std::optional(std::llround(*ms * 1e6)) : std::nullopt;
}

/// "678.86 MB", in powers of 1024.
std::optional<std::int64_t> size_at(std::string_view text) {
  const auto value = number_at(text);
  if (!value) return std::nullopt;
  static constexpr std::array<std::string_view, 5> kUnits = {"KB", "MB", "GB", "TB", "PB"};
  double factor = 1;
  for (std::size_t i = 0; i < kUnits.size(); ++i) {
    if (text.find(kUnits[i]) != std::string_view::npos) factor = std::ldexp(1.0, 10 * (static_cast<int>(i) + 1));
  }
  return *value * factor < 1e15 ? std::optional(std::llround(*value * factor)) : std::nullopt;
}

/// What follows `key` up to the next bar or comma.
std::string_view field(std::string_view line, std::string_view key) {
  const std::size_t at = line.find(key);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = line.substr(at + key.size());
  return trimmed(rest.substr(0, rest.find('|')));
}

/// "[2022-06-26 01:39:55,722]" as ns since 1970, of a clock whose zone nobody says.
std::optional<std::int64_t> time_of(std::string_view line) {
  const std::size_t open = line.find('[');
  if (open == std::string_view::npos || line.size() < open + 25) return std::nullopt;
  const std::string_view t = line.substr(open + 1, 23);
  static constexpr std::string_view kForm = "dddd-dd-dd dd:dd:dd,ddd";
  std::array<int, 7> n{};
  static constexpr std::array<std::size_t, 24> kPart = {0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3,
                                                        3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 6};
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    const bool digit = t[i] >= '0' && t[i] <= '9';
    if (kForm[i] == 'd' ? !digit : t[i] != kForm[i]) return std::nullopt;
    if (digit) n[kPart[i]] = n[kPart[i]] * 10 + (t[i] - '0');
  }
  using namespace std::chrono;
  const year_month_day day{year{n[0]}, month{static_cast<unsigned>(n[1])},
                           std::chrono::day{static_cast<unsigned>(n[2])}};
  if (!day.ok() || n[0] < 1990 || n[0] > 2200) return std::nullopt;
  const std::int64_t seconds =
      sys_days{day}.time_since_epoch().count() * std::int64_t{86400} + n[3] * 3600 + n[4] * 60 + n[5];
  return (seconds * 1000 + n[6]) * 1'000'000;
}

/// Of "[Rank 3]" or "rank=3".
std::optional<std::int64_t> rank_of(std::string_view line) {
  for (std::string_view before : {"rank=", "[Rank "}) {
    const std::size_t at = line.find(before);
    if (at == std::string_view::npos) continue;
    std::int64_t rank = 0;
    const char* from = line.data() + at + before.size();
    if (std::from_chars(from, line.data() + line.size(), rank).ec == std::errc() && rank >= 0 && rank < (1 << 20))
      return rank;
  }
  return std::nullopt;
}

struct SummaryRow {
  std::string name;
  std::int64_t bytes = 0, count = 0, total_ns = 0;
};

/// A part of a step, and what it is to us.
struct Part {
  std::string_view name, phase;
  bool nested;  ///< within the backward pass
};
constexpr Part kParts[] = {{"fwd", "forward", false},           {"forward", "forward", false},
                           {"bwd_inner", "backward", true},     {"backward_inner", "backward", true},
                           {"bwd_allreduce", "backward", true}, {"backward_allreduce", "backward", true},
                           {"bwd", "backward", false},          {"backward", "backward", false},
                           {"step", "optimizer", false}};

class DeepSpeedLog {
 public:
  DeepSpeedLog(ImportSource& source, ImportWriter& writer) : source_(source), writer_(writer) {}
  void read();

 private:
  struct Rank {
    int handle = -1;
    std::int64_t steps = 0, lines = 0;
  };
  Rank& rank(std::int64_t number);
  void take(std::string_view line);
  void take_collective(std::string_view line);
  void take_breakdown(std::string_view line);
  void take_summary(std::string_view line);
  void write_summary();
  std::int32_t collective_op(int rank, std::string_view name, std::int64_t bytes);
  void bad() { ++bad_; }

  ImportSource& source_;
  ImportWriter& writer_;
  std::map<std::int64_t, Rank> ranks_;
  std::vector<SummaryRow> summary_;  ///< of the last one: each adds up from the start
  std::string summary_name_;
  bool in_summary_ = false;
  std::int64_t collectives_ = 0, bad_ = 0, last_ns_ = 0;
};

DeepSpeedLog::Rank& DeepSpeedLog::rank(std::int64_t number) {
  constexpr std::size_t kMostRanks = 4096;
  if (ranks_.size() >= kMostRanks && !ranks_.contains(number)) number = ranks_.begin()->first;
  Rank& of = ranks_[number];
  if (of.handle < 0) {
    of.handle =
        writer_.add_rank({.file = source_.name(), .format = "deepspeed_log", .tool = "DeepSpeed", .rank = number});
    writer_.facts(of.handle).base_ns = 0;
  }
  return of;
}

void DeepSpeedLog::read() {
  std::string waiting;
  char buffer[1 << 16];
  for (std::size_t n; (n = source_.read(buffer, sizeof buffer)) > 0;) {
    waiting.append(buffer, n);
    std::size_t from = 0;
    for (std::size_t end; (end = waiting.find('\n', from)) != std::string::npos; from = end + 1)
      take(std::string_view(waiting).substr(from, end - from));
    waiting.erase(0, from);
    if (waiting.size() > kLongestLine) waiting.clear();
  }
  take(waiting);
  if (source_.cancelled()) return;
  write_summary();
  if (ranks_.empty()) throw Error(ErrorKind::kParse, source_.path() + ": holds none of DeepSpeed's times");
  for (const auto& [number, of] : ranks_) writer_.set_count(of.handle, "events", of.lines);
  const int first = ranks_.begin()->second.handle;
  writer_.loss(first, "sizes", {}, "DeepSpeed prints sizes rounded, and times to 10 us: so are these");
  if (bad_ > 0) writer_.diagnostic(first, "bad_event", "lines of comms_logger that are not whole were not kept", bad_);
}

void DeepSpeedLog::take(std::string_view line) {
  if (const auto time = time_of(line)) last_ns_ = *time;
  if (line.find("comm op: ") != std::string_view::npos) return take_collective(line);
  if (line.find("time (ms) |") != std::string_view::npos) return take_breakdown(line);
  if (line.find("Comm. Op") != std::string_view::npos && line.find("Message Size") != std::string_view::npos) {
    summary_.clear();
    in_summary_ = true;
  } else if (in_summary_) {
    take_summary(line);
  }
}

std::int32_t DeepSpeedLog::collective_op(int rank, std::string_view name, std::int64_t bytes) {
  const std::string_view kind = collective_kind(name);
  ForeignCollective collective{.group = "", .bytes = bytes};
  return writer_.op(rank, {.kind = kind.empty() ? std::string_view("collective") : kind,
                           .name = name,
                           .lane = lane_of_collective(kind),
                           .bytes = bytes,
                           .collective = &collective});
}

/// "rank=0 | comm op: all_gather_base | time (ms): 0.11 | msg size: 6.0 MB | ..."
void DeepSpeedLog::take_collective(std::string_view line) {
  const auto time = time_of(line), duration = ms_at(field(line, "time (ms): "));
  const auto bytes = size_at(field(line, "msg size: "));
  const std::string_view name = field(line, "comm op: ");
  if (!time || !duration || !bytes || name.empty()) return bad();
  Rank& of = rank(rank_of(line).value_or(0));
  ++of.lines, ++collectives_;
  const int track = writer_.track(of.handle, "collectives", TrackKind::kDevice);
  writer_.slice(of.handle, track, {collective_op(of.handle, name, *bytes), *time - *duration, *duration});
}

/// "time (ms) | fwd_microstep: 22.11 | bwd_microstep: 45.10 | ...": parts of a step that follow each other.
void DeepSpeedLog::take_breakdown(std::string_view line) {
  const auto time = time_of(line);
  if (!time) return bad();
  const bool micro = line.find("_microstep:") != std::string_view::npos;
  struct Found {
    const Part* part;
    std::int64_t ns;
  };
  std::vector<Found> found;
  std::int64_t total = 0;
  for (const Part& part : kParts) {
    const std::string key = std::string(part.name) + (micro ? "_microstep: " : ": ");
    const std::size_t at = line.find("| " + key);
    const auto ns = at == std::string_view::npos ? std::nullopt : ms_at(field(line.substr(at), key));
    if (!ns) continue;
    found.push_back({&part, *ns});
    if (!part.nested) total += *ns;
  }
  if (found.empty()) return;  // of the optimizer's own, or of another tool
  Rank& of = rank(rank_of(line).value_or(0));
  ++of.lines;
  // What is printed now and then adds up many steps; those have lines of their own.
  if (!micro) return;
  const std::int64_t start = *time - total;
  const int parts = writer_.track(of.handle, "step", TrackKind::kDevice),
            nested = writer_.track(of.handle, "backward", TrackKind::kOther);
  std::int64_t at = start, within = start;
  const auto place = [&](bool inner) {
    for (const Found& f : found) {
      if (f.part->nested != inner) continue;
      std::int64_t& from = inner ? within : at;
      if (!inner && f.part->phase == "backward") within = at;
      const std::int32_t op = writer_.op(of.handle, {.kind = inner ? "nested" : "part",
                                                     .name = f.part->name,
                                                     .lane = inner ? kOtherLane : std::string_view("compute"),
                                                     .phase = f.part->phase});
      writer_.slice(of.handle, inner ? nested : parts, {op, from, f.ns, 0, 0, static_cast<std::int32_t>(of.steps)});
      from += f.ns;
    }
  };
  place(false);
  place(true);
  writer_.step(of.handle, of.steps++, start, total, 1);
}

/// A name, or "   2.0 KB   146   11.12   0.08   0.43   0.41".
void DeepSpeedLog::take_summary(std::string_view line) {
  const std::string_view text = trimmed(line);
  if (text.empty()) return;
  if (line.front() != ' ') {
    if (text.find("latency") != std::string_view::npos || text.front() == '[') {
      in_summary_ = false;
    } else {
      summary_name_ = std::string(text.substr(0, text.find(" |")));
    }
    return;
  }
  const auto column = [&](std::size_t index) {
    return line.size() > 20 * index ? trimmed(line.substr(20 * index, 20)) : std::string_view();
  };
  const auto bytes = size_at(column(1)), total = ms_at(column(3));
  const auto count = number_at(column(2));
  if (!bytes || !total || !count || *count < 1 || *count > 1e12 || summary_name_.empty()) return bad();
  summary_.push_back({summary_name_, *bytes, std::llround(*count), *total});
}

/// Where single collectives were not printed: as many of each as there were, one after the other, of the same length.
void DeepSpeedLog::write_summary() {
  if (summary_.empty()) return;
  if (collectives_ > 0) {
    writer_.diagnostic(rank(0).handle, "summary", "the summary of comms_logger adds up what is here already; left out");
    return;
  }
  Rank& of = rank(0);
  const int track = writer_.track(of.handle, "collectives", TrackKind::kDevice);
  std::int64_t at = last_ns_;
  for (const SummaryRow& row : summary_) {
    const std::int64_t count = std::min(row.count, kMostPlaced);
    const std::int32_t op = collective_op(of.handle, row.name, row.bytes);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t ns = row.total_ns / row.count + (i < row.total_ns % row.count ? 1 : 0);
      writer_.slice(of.handle, track, {op, at, ns});
      at += ns;
    }
    of.lines += count;
    if (count < row.count) writer_.loss(of.handle, row.name, row.count - count, "more in the summary than are drawn");
  }
  writer_.diagnostic(of.handle, "laid_out",
                     "a summary of comms_logger has counts and total times: its collectives stand one after the other, "
                     "equally long");
}

bool recognises(const ImportSource& source) {
  const std::string_view head = source.head();
  const auto has = [&](std::string_view text) { return head.find(text) != std::string_view::npos; };
  return (has("comm op: ") && has("time (ms): ") && has("msg size: ")) || (has("Comm. Op") && has("Message Size")) ||
         (has("time (ms) |") && has("[Rank "));
}

void import_deepspeed_log(ImportSource& source, ImportWriter& writer) { DeepSpeedLog(source, writer).read(); }

}  // namespace

extern const Importer kDeepSpeedLogImporter;
const Importer kDeepSpeedLogImporter = {"deepspeed_log", "DeepSpeed's output: comms_logger, wall_clock_breakdown",
                                        recognises, import_deepspeed_log};

}  // namespace shardscope
