#include "profiler/import/import_files.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "profiler/import/write_clocks.h"
#include "profiler/store/schema.h"

namespace shardscope {
namespace {

const Importer& importer_named(const std::string& name) {
  std::string names;
  for (const Importer* importer : importers()) {
    if (importer->name == name) return *importer;
    names += (names.empty() ? "" : ", ") + std::string(importer->name);
  }
  throw Error(ErrorKind::kConfig, "there is no format '" + name + "'; there are " + names);
}

const Importer& importer_of(const ImportSource& source, const std::string& format) {
  if (!format.empty()) return importer_named(format);
  for (const Importer* importer : importers()) {
    if (importer->recognises(source)) return *importer;
  }
  throw Error(ErrorKind::kParse, source.path() + ": not a file that can be imported; it seems to be " +
                                     seems_to_be(source) + " (shardscope import --help lists what can)");
}

/// trace.json.gz -> trace
std::string stem_of(const std::string& path) {
  std::string name = std::filesystem::path(path).filename().string();
  for (const char* ending : {".gz", ".json", ".sqlite", ".pickle", ".pkl", ".pt.trace", ".log", ".txt"}) {
    if (name.size() > std::string_view(ending).size() && name.ends_with(ending))
      name.resize(name.size() - std::string_view(ending).size());
  }
  return name;
}

void check_out(const std::vector<std::string>& files, const std::string& out) {
  if (out.empty()) throw Error(ErrorKind::kConfig, "import: -o names no file");
  for (const std::string& file : files) {
    std::error_code error;
    if (std::filesystem::equivalent(file, out, error))
      throw Error(ErrorKind::kConfig, out + ": is one of the files to import; -o must name another");
  }
}

}  // namespace

std::string seems_to_be(const ImportSource& source) {
  const std::string_view head = source.head();
  const auto begins = [&](std::string_view magic) { return head.starts_with(magic); };
  if (head.empty()) return source.broken().empty() ? "empty" : "a damaged gzip file";
  if (begins(kSqliteMagic)) {
    const bool ours = head.size() > 72 && head.substr(68, 4) == "SHRD";
    return ours ? "a Shardscope profile already" : "an SQLite file of another program";
  }
  if (begins("PK\x03\x04")) return "a zip archive";
  if (begins("\x7f"
             "ELF"))
    return "a program";
  if (begins("%PDF")) return "a PDF document";
  if (begins("PAR1")) return "a Parquet file";
  if (begins("ARROW1")) return "an Arrow file";
  if (begins("\x28\xb5\x2f\xfd")) return "zstd-compressed; unpack it first";
  if (begins("BZh") || begins("\xfd"
                              "7zXZ"))
    return "compressed; unpack it first";
  if (begins("\x80") && head.size() > 1 && head[1] >= 2 && head[1] <= 5) return "a Python pickle of another kind";
  if (source.name().ends_with(".nsys-rep") || source.name().ends_with(".qdrep"))
    return "a report of Nsight Systems; write it as SQLite first: nsys export --type sqlite " + source.name();
  const std::size_t first = head.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (first != std::string_view::npos && (head[first] == '{' || head[first] == '[')) return "JSON of another kind";
  const bool text = std::all_of(head.begin(), head.end(), [](char c) {
    return c == '\n' || c == '\r' || c == '\t' || static_cast<unsigned char>(c) >= ' ';
  });
  return text ? "a text of another kind" : "binary data of another kind";
}

ImportResult import_files(const std::vector<std::string>& files, const ImportOptions& options, ImportControl& control) {
  check_out(files, options.out);
  // All are looked at before anything is written.
  std::vector<const Importer*> chosen;
  for (const std::string& file : files) chosen.push_back(&importer_of(ImportSource(file, control), options.format));
  ImportResult result;
  const bool is_new = !std::filesystem::exists(options.out);
  const auto remove_new = [&] {
    std::error_code ignored;
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
      if (is_new) std::filesystem::remove(options.out + suffix, ignored);
    }
  };
  try {
    ImportWriter writer(options.out, options.name.empty() ? stem_of(files.front()) : options.name);
    for (std::size_t i = 0; i < files.size() && !control.cancelled; ++i) {
      ImportSource source(files[i], control);
      try {
        chosen[i]->import(source, writer);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kParse) throw;
        result.problems.emplace_back(error.what());
        writer.diagnostic(-1, "unreadable", error.what());
      }
      result.bytes += std::max(source.bytes_out(), source.size());
    }
    result.cancelled = control.cancelled;
    result.events = writer.events();
    if (result.events == 0) {
      const std::string why = result.problems.empty()
                                  ? files.front() + ": nothing in it could be imported" +
                                        std::string(result.cancelled ? " before it was stopped" : "")
                                  : result.problems.front();
      throw Error(ErrorKind::kParse, why);
    }
    for (const auto& [kind, text] : options.remarks) writer.diagnostic(-1, kind, text);
    writer.finish(result.cancelled ? ImportStatus::kCancelled : ImportStatus::kComplete);
    result.run = writer.run();
    try {
      write_clocks(options.out, result.run);
    } catch (const Error& error) {  // the run itself is whole
      result.problems.emplace_back(error.what());
    }
  } catch (const Error&) {
    remove_new();
    throw;
  }
  return result;
}

}  // namespace shardscope
