// shardscope import: files of other programs into a profile.

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <memory>

#include "cli/command.h"
#include "profiler/import/import_files.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  ImportOptions import;
  bool quiet = false;
};

std::atomic<bool>* cancelled = nullptr;  ///< of the import under way; a signal handler has no other way to it

/// The first Ctrl-C asks for the end, the second has its usual effect.
void on_interrupt(int) {
  if (cancelled != nullptr) cancelled->store(true);
  std::signal(SIGINT, SIG_DFL);
}

void show_progress(const std::string& file, std::int64_t done, std::int64_t size) {
  fmt::print(stderr, "\r{}: {:.0f} of {:.0f} MB", file.substr(file.rfind('/') + 1), static_cast<double>(done) * 1e-6,
             static_cast<double>(size) * 1e-6);
}

std::string format_lines() {
  std::string lines;
  for (const Importer* importer : importers()) lines += fmt::format("  {:14} {}\n", importer->name, importer->what);
  return lines;
}

void run(const Options& o) {
  ImportControl control;
  const bool shown = !o.quiet && ::isatty(STDERR_FILENO) != 0;
  if (shown) control.progress = show_progress;
  cancelled = &control.cancelled;
  std::signal(SIGINT, on_interrupt);
  ImportResult result;
  try {
    result = import_files(o.files, o.import, control);
  } catch (...) {
    std::signal(SIGINT, SIG_DFL);
    cancelled = nullptr;
    if (shown) fmt::print(stderr, "\r\x1b[K");
    throw;
  }
  std::signal(SIGINT, SIG_DFL);
  cancelled = nullptr;
  if (shown) fmt::print(stderr, "\r\x1b[K");
  for (const std::string& problem : result.problems) fmt::print(stderr, "shardscope: {}\n", problem);
  if (o.quiet) return;
  fmt::print("{}: run {}, {} events{}\n", o.import.out, result.run, result.events,
             result.cancelled ? " (stopped early)" : "");
}

}  // namespace

void add_import(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("import", "Bring profiles and traces of other programs into a profile.");
  command->add_option("files", options->files, "Files of one run, e.g. one for each rank")
      ->required()
      ->type_name("FILE");
  command->add_option("-o,--out", options->import.out, "Profile to write, or to add the run to")
      ->required()
      ->type_name("RUN.db");
  command->add_option("--name", options->import.name, "Name of the run; that of the first file without it");
  command->add_option("--format", options->import.format, "Do not look what it is: one of the formats below");
  command->add_flag("--quiet", options->quiet, "No progress and no summary");
  command->footer(
      "Formats:\n" + format_lines() +
      "What is broken in a file is counted (table diagnostic) and the rest imported. Ctrl-C keeps what was read.\n"
      "Examples:\n"
      "  shardscope import trace.json.gz -o run.db\n"
      "  shardscope import rank*.json.gz -o run.db --name llama-7b\n"
      "  shardscope report run.db");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
