#include "tests/cudasim/core/settings.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace cudasim {

namespace {

[[noreturn]] void refuse(const std::string& variable, const std::string& value, const std::string& wanted) {
  std::fprintf(stderr, "[cudasim] %s=%s: it must be %s\n", variable.c_str(), value.c_str(), wanted.c_str());
  std::_Exit(2);
}

long number(const char* variable, long fallback, long low, long high) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return fallback;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 0);
  if (end == text || *end != 0 || value < low || value > high) {
    refuse(variable, text, "a number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

/// The place of the variable's value among `words`, or 0.
int choice(const char* variable, std::initializer_list<const char*> words) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return 0;
  int at = 0;
  std::string known;
  for (const char* word : words) {
    if (std::string(word) == text) return at;
    known += (at++ > 0 ? " or " : "") + std::string(word);
  }
  refuse(variable, text, known);
}

/// "call:n:code,call:n:code"
void read_failures(const std::string& text, Settings& out) {
  std::stringstream list(text);
  std::string item;
  while (std::getline(list, item, ',')) {
    const size_t first = item.find(':');
    const size_t second = item.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) refuse("CUDASIM_FAIL", text, "call:n:code,...");
    out.fail[item.substr(0, first)][std::atoi(item.c_str() + first + 1)] = std::atoi(item.c_str() + second + 1);
  }
}

/// As CUDA reads it: up to the first number that is no device.
void read_visible(const std::string& text, Settings& out) {
  std::stringstream list(text);
  std::string item;
  while (std::getline(list, item, ',')) {
    char* end = nullptr;
    const long device = std::strtol(item.c_str(), &end, 10);
    if (end == item.c_str() || device < 0 || device >= out.devices) break;
    out.visible.push_back(static_cast<int>(device));
  }
  out.devices = static_cast<int>(out.visible.size());
}

}  // namespace

Settings settings_from_environment() {
  Settings out;
  out.devices = static_cast<int>(number("CUDASIM_DEVICES", out.devices, 0, 64));
  out.driver = static_cast<int>(number("CUDASIM_DRIVER", kRuntimeVersion, 0, 100000));
  out.memory_bytes = static_cast<u64>(number("CUDASIM_MEM_MB", 2048, 1, 1 << 20)) << 20;
  out.arena_bytes = static_cast<u64>(number("CUDASIM_ARENA_GB", 64, 1, 1024)) << 30;
  out.compute = static_cast<int>(number("CUDASIM_COMPUTE", 90, 75, 90));
  out.odd_device = static_cast<int>(number("CUDASIM_ODD_DEVICE", -1, 0, 63));
  out.seed = static_cast<unsigned>(number("CUDASIM_SEED", 1, 0, 1L << 32));
  out.schedule = static_cast<Schedule>(choice("CUDASIM_SCHED", {"late", "eager", "threads"}));
  out.diverge = static_cast<Diverge>(choice("CUDASIM_DIVERGE", {"low", "high", "random"}));
  out.checks = static_cast<unsigned>(number("CUDASIM_CHECKS", kCheckAll, 0, kCheckAll));
  out.hang_seconds = static_cast<int>(number("CUDASIM_HANG_S", 120, 1, 86400));
  out.keep_exit_code = number("CUDASIM_KEEP_EXIT", 0, 0, 1) != 0;
  if (const char* fail = std::getenv("CUDASIM_FAIL")) read_failures(fail, out);
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) read_visible(visible, out);
  return out;
}

}  // namespace cudasim
