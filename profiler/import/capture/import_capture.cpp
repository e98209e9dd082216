#include "profiler/import/capture/import_capture.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "profiler/import/capture/capture_import.h"

namespace shardscope {

namespace {

using capture::CaptureLogReader;
using capture::ProcessFacts;

struct Log {
  std::string path;
  ProcessFacts facts;
};

/// The logs beside one, its own included; what is no log is left out.
std::vector<Log> logs_beside(const std::string& path) {
  std::vector<Log> logs;
  std::error_code ignored;
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.path().extension() != ".capture") continue;
    try {
      logs.push_back({entry.path().string(), CaptureLogReader(entry.path().string()).facts()});
    } catch (const Error&) {
      continue;
    }
  }
  std::sort(logs.begin(), logs.end(),
            [](const Log& a, const Log& b) { return a.facts.started_ns < b.facts.started_ns; });
  return logs;
}

bool is_child(const ProcessFacts& child, const ProcessFacts& parent) {
  return child.parent == parent.pid && child.rank == parent.rank && child.started_ns >= parent.started_ns;
}

/// The process and all that it started, of its rank.
std::vector<Log> family(const std::vector<Log>& logs, const Log& root) {
  std::vector<Log> members{root};
  for (std::size_t i = 0; i < members.size() && members.size() <= logs.size(); ++i) {
    for (const Log& log : logs) {
      if (log.path != members[i].path && is_child(log.facts, members[i].facts)) members.push_back(log);
    }
  }
  return members;
}

constexpr std::string_view kSpoolStart = "SSSPOOL1";  // capture::kSpoolMagic, as bytes

bool recognises(const ImportSource& source) {
  return source.head().starts_with(capture::kCaptureLogMagic) || source.head().starts_with(kSpoolStart);
}

/// What a killed `record` had not read yet of a process: brought from the spool into its log, once.
void recover(const std::filesystem::path& spool, const std::filesystem::path& log) {
  capture::SpoolReader reader(spool.string());
  if ((reader.header().ended.load() & capture::kRecovered) != 0) return;
  capture::CaptureLog to(log.string(), reader.header(), /*append=*/true);
  to.add(reader);
  if (!to.problem().empty()) throw Error(ErrorKind::kIo, to.problem());
  reader.header().ended.fetch_or(capture::kRecovered);  // the file stays: it may have been named, too
}

/// The log to read for a file: a spool's is made, unless the log is there already and is imported itself.
std::string log_of(const std::filesystem::path& file) {
  std::filesystem::path log = file, spool = file;
  log.replace_extension(".capture");
  spool.replace_extension(".spool");
  if (file.extension() == ".spool" && std::filesystem::exists(log)) return "";
  if (std::filesystem::exists(spool)) recover(spool, log);
  return log.string();
}

void import_process(const std::string& path, ImportSource& source, ImportWriter& writer, int rank, bool main) {
  CaptureLogReader reader(path);
  CaptureImport process(reader, writer, rank, main);
  const bool whole =
      reader.read([&](std::uint32_t thread, const capture::RecordHead& head) { process.take(thread, head); },
                  [&](std::int64_t position) {
                    if (main) source.report(position);
                    return !source.cancelled();
                  });
  process.finish();
  if (!whole && !source.cancelled()) writer.diagnostic(rank, "truncated", path + ": the log ends within a block");
}

void import(ImportSource& source, ImportWriter& writer) {
  const std::string path = log_of(source.path());
  if (path.empty()) return;
  const std::vector<Log> logs = logs_beside(path);
  const Log self{path, CaptureLogReader(path).facts()};
  const bool of_another = std::any_of(logs.begin(), logs.end(), [&](const Log& log) {
    return log.facts.pid != self.facts.pid && is_child(self.facts, log.facts);
  });
  if (of_another) return;  // imported with its parent
  SourceFacts facts;
  facts.file = source.name();
  facts.format = "capture";
  facts.tool = "shardscope record";
  facts.base_ns = 0;
  if (self.facts.rank >= 0) facts.rank = self.facts.rank;
  if (self.facts.world > 0) facts.world = self.facts.world;
  const int rank = writer.add_rank(facts);
  for (const Log& member : family(logs, self))
    import_process(member.path, source, writer, rank, member.path == self.path);
}

}  // namespace

const Importer kCaptureImporter = {"capture", "log of shardscope record", recognises, import};

}  // namespace shardscope
