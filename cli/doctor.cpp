// shardscope doctor: would `record` see anything here, and if not, why?

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/find_library.h"
#include "profiler/capture/doctor.h"

namespace shardscope::cli {
namespace {

struct Options {
  int pid = 0;
  std::string folder = ".";
  bool json = false;
};

std::string library_or_nothing() {
  try {
    return find_library(kCaptureLibrary);
  } catch (const Error&) {
    return "";
  }
}

void print(const std::vector<capture::Finding>& findings) {
  for (const capture::Finding& f : findings) fmt::print("{:5} {:10} {}\n", to_string(f.verdict), f.what, f.text);
}

void print_json(const std::vector<capture::Finding>& findings) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const capture::Finding& f : findings)
    rows.push_back({{"verdict", to_string(f.verdict)}, {"what", f.what}, {"text", f.text}});
  fmt::print("{}\n", nlohmann::ordered_json{{"findings", rows}}.dump(2));
}

int run(const Options& o) {
  const std::vector<capture::Finding> findings =
      o.pid > 0 ? capture::examine_process(o.pid) : capture::examine_machine(library_or_nothing(), o.folder);
  if (o.json) {
    print_json(findings);
  } else {
    print(findings);
  }
  const bool bad = std::any_of(findings.begin(), findings.end(),
                               [](const capture::Finding& f) { return f.verdict == capture::Verdict::kBad; });
  return bad ? kRunFailed : kDone;
}

}  // namespace

void add_doctor(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("doctor", "Say whether `record` works here, and what would be missing.");
  command->add_option("--pid", options->pid, "Look at a process that runs, instead of at the machine")
      ->check(CLI::Range(1, 1 << 22));
  command->add_option("--folder", options->folder, "Where recordings would be made")
      ->check(CLI::ExistingDirectory)
      ->capture_default_str();
  command->add_flag("--json", options->json, "For scripts");
  command->footer(
      "Examples:\n"
      "  shardscope doctor\n"
      "  shardscope doctor --pid 4711      # why does this job show no kernels?\n"
      "Ends with 1 if something would be missing from a recording.");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace shardscope::cli
