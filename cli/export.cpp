// shardscope export: a run as a file for other programs.

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/command.h"
#include "profiler/export/exporter.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string path, run, format, out;
  ExportOptions more;
};

std::string format_lines() {
  std::string lines;
  for (const Exporter* exporter : exporters()) lines += fmt::format("  {:9} {}\n", exporter->name, exporter->what);
  return lines;
}

void run(const Options& o) {
  const Exporter& exporter = o.format.empty() ? exporter_for(o.out) : exporter_of(o.format);
  const Profile profile(o.path);
  export_run(profile, find_run_or_first(profile, o.run), exporter, o.out, o.more);
}

}  // namespace

void add_export(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("export", "Write a run as a file for other programs.");
  command->add_option("profile", options->path, "The profile")->required()->type_name("RUN.db");
  command->add_option("--run", options->run, "Name or number of the run; without it the first measured one");
  command->add_option("--format", options->format,
                      "One of the formats below; without it as the ending of FILE says (.json, .csv)");
  command->add_option("-o,--out", options->out, "File to write; of chakra what the names of its files begin with")
      ->required()
      ->type_name("FILE");
  command->add_option("--step", options->more.step, "Of chakra: which step; the last without it")->type_name("N");
  command->footer("Formats:\n" + format_lines() +
                  "Examples:\n"
                  "  shardscope export run.db -o trace.json                         # open it in ui.perfetto.dev\n"
                  "  shardscope export run.db --run zero-2 -o slices.csv\n"
                  "  shardscope import trace.json -o again.db                      # and back\n"
                  "  shardscope export run.db --format chakra --step 3 -o replay    # replay.0.et, replay.1.et, ...");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
