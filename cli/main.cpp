// The `shardscope` command: parses the command line, runs one subcommand, turns an Error into one line and an exit code.

#include <cstdio>
#include <exception>

#include "cli/command.h"
#include "core/error.h"

namespace shardscope::cli {

// One line per command; each is defined in the file of its name.
void add_calibrate(CLI::App& app, int& exit_code);
void add_check(CLI::App& app, int& exit_code);
void add_compare(CLI::App& app, int& exit_code);
void add_lower(CLI::App& app, int& exit_code);
void add_query(CLI::App& app, int& exit_code);
void add_report(CLI::App& app, int& exit_code);
void add_train(CLI::App& app, int& exit_code);

constexpr AddCommand kCommands[] = {add_calibrate, add_check, add_compare, add_lower, add_query, add_report, add_train};

int exit_code_of(const Error& error) {
  return error.kind() == ErrorKind::kIo || error.kind() == ErrorKind::kDevice ? kRunFailed : kBadInput;
}

int run(int argc, char** argv) {
  CLI::App app{"Shardscope: run, profile, predict and compare sharded training.", "shardscope"};
  app.require_subcommand(1);
  int exit_code = kDone;
  for (AddCommand add : kCommands) {
    if (add != nullptr) add(app, exit_code);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kBadInput;
  } catch (const Error& error) {
    std::fprintf(stderr, "shardscope: %s\n", error.what());
    return exit_code_of(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "shardscope: unexpected failure: %s\n", error.what());
    return kRunFailed;
  }
  return exit_code;
}

}  // namespace shardscope::cli

int main(int argc, char** argv) { return shardscope::cli::run(argc, argv); }
