// The list of exporters. To add one: a folder, and two lines here.

#include <array>
#include <filesystem>
#include <string_view>

#include "core/error.h"
#include "profiler/export/exporter.h"

namespace shardscope {

extern const Exporter kChakraExporter;
extern const Exporter kCsvExporter;
extern const Exporter kPerfettoExporter;

std::span<const Exporter* const> exporters() {
  static constexpr std::array kAll = {&kPerfettoExporter, &kCsvExporter, &kChakraExporter};
  return kAll;
}

namespace {

std::string names() {
  std::string all;
  for (const Exporter* exporter : exporters()) all += (all.empty() ? "" : ", ") + std::string(exporter->name);
  return all;
}

}  // namespace

const Exporter& exporter_of(const std::string& name) {
  for (const Exporter* exporter : exporters())
    if (name == exporter->name) return *exporter;
  throw Error(ErrorKind::kConfig, "there is no format '" + name + "' to export; there are " + names());
}

const Exporter& exporter_for(const std::string& path) {
  for (const Exporter* exporter : exporters())
    if (const std::string_view ending = exporter->ending; !ending.empty() && path.ends_with(ending)) return *exporter;
  throw Error(ErrorKind::kConfig, path + ": its name does not say which format; --format takes " + names());
}

void export_run(const Profile& profile, const RunRow& run, const Exporter& exporter, const std::string& path,
                const ExportOptions& options) {
  std::error_code none;
  if (std::filesystem::equivalent(profile.path(), path, none))
    throw Error(ErrorKind::kConfig, path + ": is the profile itself; -o must name another file");
  if (options.step && !exporter.one_step)
    throw Error(ErrorKind::kConfig, std::string(exporter.name) + ": holds a whole run; a step is for chakra");
  exporter.write(profile, run, options, path);
}

}  // namespace shardscope
