// One row for each slice, with all columns of the views slice and op: for spreadsheets, pandas, R.

#include "profiler/export/exporter.h"
#include "profiler/export/run_reader.h"

namespace shardscope {
namespace {

std::string cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string cell(const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : std::string(); }

/// The columns of an op; those of a group are empty where there is none.
std::string op_cells(const ExportOp& op) {
  const auto of_group = [&](std::int64_t value) { return op.communication ? std::to_string(value) : std::string(); };
  return fmt::format("{},{},{},{},{},{},{},{},{},{},{},{}", cell(op.kind), cell(op.name), cell(op.lane), cell(op.phase),
                     op.layer, op.micro_batch, op.flops, op.bytes, op.communication ? 1 : 0, cell(op.group),
                     of_group(op.group_size), of_group(op.collective_bytes));
}

void write_csv(const Profile& profile, const RunRow& run, const ExportOptions&, const std::string& path) {
  TextFile out(path);
  out.text(
      "run,rank,track,op,step,start_ns,dur_ns,wait_ns,correlation,sequence,communicator,kind,name,lane,phase,layer,"
      "micro_batch,flops,bytes,communication,group_name,group_size,collective_bytes\n");
  const RunReader reader(profile, run.id, out.path());
  const std::string run_cell = cell(run.name);
  for (const ExportRank& rank : reader.ranks()) {
    std::vector<std::string> ops;
    for (const ExportOp& op : reader.ops(rank)) ops.push_back(op_cells(op));
    const std::string unknown = op_cells({.kind = "unknown op"});
    for (const ExportTrack& track : reader.tracks(rank.rank)) {
      const std::string track_cell = cell(track.name);
      reader.slices(track, [&](const ExportSlice& s) {
        const auto op = static_cast<std::size_t>(s.op);
        out.add("{},{},{},{},{},{},{},{},{},{},{},{}\n", run_cell, rank.rank, track_cell, s.op, s.step, s.start_ns,
                s.duration_ns, s.wait_ns, s.correlation, cell(s.sequence), cell(s.communicator),
                op < ops.size() ? ops[op] : unknown);
      });
    }
  }
  out.finish();
}

}  // namespace

extern const Exporter kCsvExporter;
const Exporter kCsvExporter = {"csv", ".csv", "one row for each slice, with its op: for spreadsheets and pandas", false,
                               write_csv};

}  // namespace shardscope
