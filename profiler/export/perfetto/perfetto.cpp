// Chrome's JSON trace events, as Perfetto (ui.perfetto.dev) and chrome://tracing show them: a process for each rank, a
// thread for each track. `shardscope import` reads it back (profiler/import/kineto/own_export.h): keep the two alike.

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "profiler/export/exporter.h"
#include "profiler/export/perfetto/arrows.h"
#include "profiler/export/perfetto/slice_rows.h"
#include "profiler/export/run_reader.h"
#include "profiler/store/levels.h"

namespace shardscope {
namespace {

std::string json_text(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Whole ns as us with three decimals: digits, since a double has too few of them for a long run.
std::string us(std::int64_t ns) {
  const auto size = ns < 0 ? 0 - static_cast<std::uint64_t>(ns) : static_cast<std::uint64_t>(ns);
  return fmt::format("{}{}.{:03}", ns < 0 ? "-" : "", size / 1000, size % 1000);
}

/// What all slices of an op say: made once.
struct OpText {
  std::string head, args;
  bool is_launch = false, is_launched = false;
};

/// Kernels and calls go by their name; an op of ours, which has a phase, by what it does and where.
std::string shown_name(const ExportOp& op) {
  if (op.name.empty()) return op.kind;
  return op.phase.empty() ? op.name : op.kind + " " + op.name;
}

OpText text_of(const ExportOp& op) {
  OpText text;
  const std::string name = shown_name(op);
  text.head = fmt::format("\"name\":{},\"cat\":{}", json_text(name), json_text(op.kind));
  text.args = fmt::format("\"lane\":{}", json_text(op.lane));
  const auto add = [&](const char* key, const std::string& value) {
    text.args += fmt::format(",\"{}\":{}", key, value);
  };
  if (name != op.name) add("name", json_text(op.name));
  if (!op.phase.empty()) add("phase", json_text(op.phase));
  if (op.layer >= 0) add("layer", std::to_string(op.layer));
  if (op.micro_batch >= 0) add("micro_batch", std::to_string(op.micro_batch));
  if (op.flops != 0) add("flops", fmt::format("{}", op.flops));
  if (op.bytes != 0) add("bytes", std::to_string(op.bytes));
  if (op.communication) {
    add("group", json_text(op.group));
    add("group_size", std::to_string(op.group_size));
    add("collective_bytes", std::to_string(op.collective_bytes));
  }
  text.is_launch = op.lane == kHostApiLane;
  text.is_launched = !text.is_launch && op.lane != kOtherLane;
  return text;
}

class PerfettoWriter {
 public:
  PerfettoWriter(const Profile& profile, const RunRow& run, TextFile& out)
      : run_(run), out_(out), reader_(profile, run.id, out.path()) {}
  void write();

 private:
  /// The threads of one track, made when they are needed.
  struct Threads {
    std::string name;
    std::vector<std::int32_t> numbers = {};
    SliceRows rows = {};
  };
  std::int32_t thread_of(Threads& threads, std::int64_t start_ns, std::int64_t end_ns);
  void write_rank(const ExportRank& rank);
  void write_steps(int rank);
  void write_track(const ExportTrack& track, const std::vector<OpText>& ops, Arrows& arrows);
  void write_slice(std::int64_t tid, const OpText& op, const ExportSlice& slice);
  void write_memory(int rank);
  void write_arrows(Arrows& arrows);
  /// `{"ph":"X","pid":1`, after a comma if it is not the first.
  void begin(char phase) {
    out_.add("{}{{\"ph\":\"{}\",\"pid\":{}", first_ ? "\n" : ",\n", phase, pid_);
    first_ = false;
  }
  /// Numbers of threads are unique in the file, and none is that of a process: some viewers take it for a main thread.
  std::int64_t tid(std::int32_t thread) const { return first_tid_ + thread; }

  const RunRow& run_;
  TextFile& out_;
  const RunReader reader_;
  bool first_ = true;
  std::int64_t pid_ = 0, first_tid_ = 0, arrows_ = 0;
  std::int32_t threads_ = 0;
};

void PerfettoWriter::write() {
  const std::vector<ExportRank> ranks = reader_.ranks();
  out_.add("{{\"shardscope\":{{\"version\":1,\"run\":{},\"world\":{}}},\n", json_text(run_.name), run_.world);
  if (const auto wall = reader_.wall_clock_ns()) out_.add("\"baseTimeNanoseconds\":{},\n", *wall);
  out_.text("\"displayTimeUnit\":\"ns\",\n\"traceEvents\":[");
  first_tid_ = ranks.empty() ? 1 : std::int64_t{ranks.back().rank} + 2;
  for (const ExportRank& rank : ranks) write_rank(rank);
  out_.text("\n]}\n");
}

void PerfettoWriter::write_rank(const ExportRank& rank) {
  pid_ = std::int64_t{rank.rank} + 1;  // process 0 is the kernel's
  begin('M');
  out_.add(",\"name\":\"process_name\",\"args\":{{\"name\":\"rank {}\"}}}}", rank.rank);
  begin('M');
  out_.add(",\"name\":\"process_sort_index\",\"args\":{{\"sort_index\":{}}}}}", rank.rank);
  write_steps(rank.rank);
  std::vector<OpText> ops;
  for (const ExportOp& op : reader_.ops(rank)) ops.push_back(text_of(op));
  Arrows arrows(out_.path());
  for (const ExportTrack& track : reader_.tracks(rank.rank)) write_track(track, ops, arrows);
  write_arrows(arrows);
  write_memory(rank.rank);
}

std::int32_t PerfettoWriter::thread_of(Threads& threads, std::int64_t start_ns, std::int64_t end_ns) {
  const std::size_t row = threads.rows.place(start_ns, end_ns);
  if (row < threads.numbers.size()) return threads.numbers[row];
  const std::int32_t made = threads_++;
  threads.numbers.push_back(made);
  const std::string name = row == 0 ? threads.name : fmt::format("{} ({})", threads.name, row + 1);
  begin('M');
  out_.add(",\"tid\":{},\"name\":\"thread_name\",\"args\":{{\"name\":{},\"track\":{}}}}}", tid(made), json_text(name),
           json_text(threads.name));
  begin('M');
  out_.add(",\"tid\":{},\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{}}}}}", tid(made), made);
  return made;
}

void PerfettoWriter::write_steps(int rank) {
  Threads threads{"steps"};
  reader_.steps(rank, [&](const ExportStep& s) {
    const std::int64_t at = tid(thread_of(threads, s.start_ns, s.start_ns + s.duration_ns));
    begin('X');
    out_.add(",\"tid\":{},\"ts\":{},\"dur\":{},\"name\":\"step {}\",\"cat\":\"step\",\"args\":{{\"step\":{}", at,
             us(s.start_ns), us(s.duration_ns), s.step, s.step);
    if (std::isfinite(s.loss)) out_.add(",\"loss\":{}", s.loss);
    out_.text("}}");
  });
}

void PerfettoWriter::write_track(const ExportTrack& track, const std::vector<OpText>& ops, Arrows& arrows) {
  static const OpText kUnknown = text_of({.kind = "unknown op", .lane = std::string(kOtherLane)});
  Threads threads{track.name};
  reader_.slices(track, [&](const ExportSlice& s) {
    const auto index = static_cast<std::size_t>(s.op);
    const OpText& op = index < ops.size() ? ops[index] : kUnknown;
    const std::int32_t thread = thread_of(threads, s.start_ns, s.start_ns + s.duration_ns);
    write_slice(tid(thread), op, s);
    if (op.is_launch) arrows.add_launch(s.correlation, thread, s.start_ns);
    if (op.is_launched) arrows.add_launched(s.correlation, thread, s.start_ns);
  });
}

void PerfettoWriter::write_slice(std::int64_t tid, const OpText& op, const ExportSlice& s) {
  begin('X');
  out_.add(",\"tid\":{},\"ts\":{},\"dur\":{},{},\"args\":{{{},\"step\":{}", tid, us(s.start_ns), us(s.duration_ns),
           op.head, op.args, s.step);
  if (s.wait_ns != 0) out_.add(",\"wait_ns\":{}", s.wait_ns);
  if (s.correlation != 0) out_.add(",\"correlation\":{}", s.correlation);
  if (s.sequence) out_.add(",\"sequence\":{}", *s.sequence);
  if (s.communicator) out_.add(",\"communicator\":{}", *s.communicator);
  out_.text("}}");
}

void PerfettoWriter::write_memory(int rank) {
  reader_.memory(rank, [&](const ExportMemory& m) {
    begin('C');
    out_.add(",\"ts\":{},\"name\":\"{} {}\",\"args\":{{\"bytes\":{}}}}}", us(m.time_ns), m.space, m.category,
             m.live_bytes);
  });
}

/// Each has a number of its own: a launch of many has many arrows, not one chain.
void PerfettoWriter::write_arrows(Arrows& arrows) {
  arrows.each([&](const Arrow& arrow) {
    ++arrows_;
    const auto end = [&](char phase, const Arrow::End& at, const char* more) {
      begin(phase);
      out_.add(",\"tid\":{},\"ts\":{},\"id\":{},\"name\":\"ac2g\",\"cat\":\"ac2g\"{}}}", tid(at.row), us(at.time_ns),
               arrows_, more);
    };
    end('s', arrow.from, "");
    end('f', arrow.to, ",\"bp\":\"e\"");
  });
}

void write_perfetto(const Profile& profile, const RunRow& run, const ExportOptions&, const std::string& path) {
  TextFile out(path);
  PerfettoWriter(profile, run, out).write();
  out.finish();
}

}  // namespace

extern const Exporter kPerfettoExporter;
const Exporter kPerfettoExporter = {"perfetto", ".json", "Chrome JSON, for ui.perfetto.dev and chrome://tracing", false,
                                    write_perfetto};

}  // namespace shardscope
