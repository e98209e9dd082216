// shardscope compact: packs a profile.

#include "profiler/store/compact.h"

#include <fmt/format.h>

#include <memory>

#include "cli/command.h"

namespace shardscope::cli {

void add_compact(CLI::App& app, int& exit_code) {
  auto path = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("compact", "Make a profile smaller: packs what was recorded as JSON.");
  command->add_option("profile", *path, "The profile")->required()->type_name("RUN.db");
  command->footer(
      "Nothing is lost: every command, and the window, read packed profiles. In other SQLite tools the views slice "
      "and\n"
      "memory show only what is not packed (docs/profile.md). Long runs are packed when they end, and so is what is\n"
      "imported.\n"
      "Example:\n"
      "  shardscope compact run.db");
  command->callback([path, &exit_code] {
    const CompactResult result = compact_profile(*path);
    fmt::print("{}: {:.1f} MB, before {:.1f} MB\n", *path, static_cast<double>(result.bytes_after) * 1e-6,
               static_cast<double>(result.bytes_before) * 1e-6);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
