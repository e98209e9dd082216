#pragma once
// One subcommand of `shardscope` per file: cli/train.cpp defines add_train(), and main.cpp lists it.

#include <CLI/CLI.hpp>
#include <sstream>
#include <string>

#include "core/error.h"

namespace shardscope::cli {

/// Exit codes: 0 done, 1 a run failed, 2 bad input (one message on standard error).
inline constexpr int kDone = 0, kRunFailed = 1, kBadInput = 2;

/// As CLI::Range, which lets "nan" through.
inline CLI::Validator in_range(double low, double high) {
  const auto refuse = [low, high](const std::string& text) {
    double value = 0;
    if (CLI::detail::lexical_cast(text, value) && value >= low && value <= high) return std::string();
    std::ostringstream problem;
    problem << "Value " << text << " not in range " << low << " to " << high;
    return problem.str();
  };
  std::ostringstream name;
  name << "FLOAT in [" << low << " - " << high << "]";
  return CLI::Validator(refuse, name.str(), "in_range");
}

/// What the kind of an error means to whoever started us.
int exit_code_of(const Error& error);

/// Adds the subcommand to `app`; when it is chosen its callback runs the command and stores the exit code. Errors are
/// thrown (core/error.h) and turned into one message and an exit code by main().
using AddCommand = void (*)(CLI::App& app, int& exit_code);

}  // namespace shardscope::cli
