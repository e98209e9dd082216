// shardscope gui: starts the window, shardscope-gui, which is a program of its own.

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/command.h"
#include "core/error.h"

namespace shardscope::cli {
namespace {

/// Beside this program, or in the build's folder beside it; else what PATH finds.
std::string find_window() {
  std::error_code none;
  const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe", none).parent_path();
  for (const char* place : {"shardscope-gui", "../gui/shardscope-gui"}) {
    const std::filesystem::path file = here / place;
    if (!here.empty() && std::filesystem::is_regular_file(file, none)) return file.string();
  }
  return "shardscope-gui";
}

[[noreturn]] void start(const std::vector<std::string>& arguments) {
  std::string window = find_window();
  std::vector<std::string> all{window};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execvp(window.c_str(), argv.data());
  throw Error(ErrorKind::kIo, "gui: " + window + ": cannot be started (" + std::strerror(errno) +
                                  "); it needs Qt 6 at build time (package qt6-base-dev)");
}

}  // namespace

void add_gui(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("gui", "Open profiles in the window (shardscope-gui).");
  command->prefix_command();
  command->footer(
      "Everything behind `gui` is shardscope-gui's; its --help lists the rest.\n"
      "Examples:\n"
      "  shardscope gui run.db\n"
      "  shardscope gui --view timeline --theme dark run.db");
  command->callback([command, &exit_code] {
    exit_code = kDone;
    start(command->remaining());
  });
}

}  // namespace shardscope::cli
