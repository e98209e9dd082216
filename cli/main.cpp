// The `shardscope` command: parses the command line, runs one subcommand, turns an Error into one line and an exit
// code.

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>

#include "cli/command.h"
#include "core/error.h"

namespace shardscope::cli {

// One line per command; each is defined in the file of its name.
void add_breakdown(CLI::App& app, int& exit_code);
void add_calibrate(CLI::App& app, int& exit_code);
void add_check(CLI::App& app, int& exit_code);
void add_compact(CLI::App& app, int& exit_code);
void add_compare(CLI::App& app, int& exit_code);
void add_critical_path(CLI::App& app, int& exit_code);
void add_diagnose(CLI::App& app, int& exit_code);
void add_doctor(CLI::App& app, int& exit_code);
void add_export(CLI::App& app, int& exit_code);
void add_generate(CLI::App& app, int& exit_code);
void add_gui(CLI::App& app, int& exit_code);
void add_hardware(CLI::App& app, int& exit_code);
void add_import(CLI::App& app, int& exit_code);
void add_lower(CLI::App& app, int& exit_code);
void add_models(CLI::App& app, int& exit_code);
void add_ops(CLI::App& app, int& exit_code);
void add_plan(CLI::App& app, int& exit_code);
void add_predict(CLI::App& app, int& exit_code);
void add_query(CLI::App& app, int& exit_code);
void add_record(CLI::App& app, int& exit_code);
void add_render(CLI::App& app, int& exit_code);
void add_report(CLI::App& app, int& exit_code);
void add_stragglers(CLI::App& app, int& exit_code);
void add_train(CLI::App& app, int& exit_code);
void add_validate(CLI::App& app, int& exit_code);
void add_weights(CLI::App& app, int& exit_code);
void add_whatif(CLI::App& app, int& exit_code);

constexpr AddCommand kCommands[] = {
    add_breakdown, add_calibrate,  add_check,    add_compact,  add_compare,  add_critical_path, add_diagnose,
    add_doctor,    add_export,     add_generate, add_gui,      add_hardware, add_import,        add_lower,
    add_models,    add_ops,        add_plan,     add_predict,  add_query,    add_record,        add_render,
    add_report,    add_stragglers, add_train,    add_validate, add_weights,  add_whatif};

int exit_code_of(const Error& error) {
  return error.kind() == ErrorKind::kIo || error.kind() == ErrorKind::kDevice ? kRunFailed : kBadInput;
}

/// One line for what is wrong with the command line itself.
std::string usage_problem(const CLI::App* app, const CLI::Error& error) {
  std::string text = error.what();
  std::replace(text.begin(), text.end(), '\n', ' ');
  const std::size_t endless = text.find(" not in range 0.000000 to 1797");  // CLI::NonNegativeNumber
  if (endless != std::string::npos) text = text.substr(0, endless) + ": it must not be negative";
  std::string command = app->get_name();
  for (const CLI::App* chosen : app->get_subcommands()) command += " " + chosen->get_name();
  return "shardscope: " + text + "; see " + command + " --help\n";
}

/// CLI11 would only say that a command is missing.
void refuse_unknown_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::string names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    if (command->get_name() == argv[1]) return;
    names += (names.empty() ? "" : ", ") + command->get_name();
  }
  throw Error(ErrorKind::kConfig, "there is no command '" + std::string(argv[1]) + "'; there are " + names);
}

int run(int argc, char** argv) {
  CLI::App app{"Shardscope: run, profile, predict and compare sharded training.", "shardscope"};
  app.require_subcommand(1);
  app.failure_message(usage_problem);
  int exit_code = kDone;
  for (AddCommand add : kCommands) {
    if (add != nullptr) add(app, exit_code);
  }
  try {
    refuse_unknown_command(app, argc, argv);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kBadInput;
  } catch (const Error& error) {
    std::fprintf(stderr, "shardscope: %s\n", error.what());
    return exit_code_of(error);
  } catch (const std::system_error& error) {
    const bool is_output = std::string_view(error.what()).starts_with("cannot write to file");  // {fmt}'s words
    std::fprintf(stderr, "shardscope: %s: %s\n", is_output ? "standard output" : "unexpected failure", error.what());
    return kRunFailed;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "shardscope: unexpected failure: %s\n", error.what());
    return kRunFailed;
  }
  if (std::fflush(stdout) == 0) return exit_code;
  std::fprintf(stderr, "shardscope: standard output: cannot be written: %s\n", std::strerror(errno));
  return kRunFailed;
}

}  // namespace shardscope::cli

int main(int argc, char** argv) { return shardscope::cli::run(argc, argv); }
