// How far is the closed form from the event level? Random jobs of everything that our engine runs, the worst printed.
//
//   ./dev bench two_levels 2000 --seed 7 [--all] [--only TEXT] [--zpp]
//
// --all: a line for each; --only: choices that hold it; --zpp: jobs with ZeRO++, which the others never have.

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <vector>

#include "core/error.h"
#include "tests/two_levels_job.h"

namespace shardscope {
namespace {

std::string text_of(const LevelsChoice& choice) {
  std::ostringstream out;
  out << choice;
  return out.str();
}

std::string terms_of(const LevelsErrors& e) {
  std::string text;
  for (int i = 0; i < kTimeTerms; ++i) {
    const double s = e.closed.seconds[static_cast<std::size_t>(i)];
    if (s > 0) text += fmt::format(" {} {:.2f}", to_string(static_cast<TimeTerm>(i)), s * 1e3);
  }
  const StepBreakdown& b = e.events.breakdown;
  return fmt::format(
      "closed {:.2f} ms:{} | events {:.2f}: compute {:.2f} comm {:.2f} bubble {:.2f} offload {:.2f} "
      "optimizer {:.2f}",
      e.closed.step_time_s * 1e3, text, e.events.step_time_s * 1e3, b.compute_s * 1e3, b.exposed_communication_s * 1e3,
      b.bubble_s * 1e3, b.offload_s * 1e3, b.optimizer_s * 1e3);
}

std::string bytes_of(const LevelsErrors& e) {
  std::string text;
  for (int i = 0; i < kMemoryTerms; ++i) {
    const double b = e.closed.bytes[static_cast<std::size_t>(i)];
    if (b > 0) text += fmt::format(" {} {:.3f}", to_string(static_cast<MemoryTerm>(i)), b / 1e9);
  }
  const RankPrediction* fullest = &e.events.ranks.front();
  for (const RankPrediction& rank : e.events.ranks)
    if (rank.peak.peak_bytes[0] > fullest->peak.peak_bytes[0]) fullest = &rank;
  std::string seen;
  for (std::size_t i = 0; i < fullest->peak.at_peak.bytes[0].size(); ++i) {
    const double b = static_cast<double>(fullest->peak.at_peak.bytes[0][i]);
    if (b > 0) seen += fmt::format(" {} {:.3f}", to_string(static_cast<Category>(i)), b / 1e9);
  }
  return fmt::format("GB closed {:.3f}:{} | events {:.3f} rank {}:{}", e.closed.allocated / 1e9, text,
                     static_cast<double>(e.peak) / 1e9, fullest->rank, seen);
}

void print_spread(const char* what, std::vector<double> errors) {
  for (double& e : errors) e = std::abs(e);
  std::sort(errors.begin(), errors.end());
  if (errors.empty()) return;
  const auto within = std::count_if(errors.begin(), errors.end(), [](double e) { return e <= 0.05; });
  fmt::print("{}: median {:.2f} %, p90 {:.2f} %, p99 {:.2f} %, largest {:.2f} %; {:.2f} % within 5 %\n", what,
             errors[errors.size() / 2] * 100, errors[errors.size() * 9 / 10] * 100,
             errors[errors.size() * 99 / 100] * 100, errors.back() * 100,
             100.0 * static_cast<double>(within) / static_cast<double>(errors.size()));
}

int run(int count, unsigned seed, bool all, const char* only, bool zpp) {
  std::mt19937 random(seed);
  std::vector<double> time, memory;
  for (int i = 0; i < count; ++i) {
    const LevelsChoice choice = zpp ? draw_zero_plus_plus(random) : draw_levels(random);
    const std::string text = text_of(choice);
    if (only != nullptr && text.find(only) == std::string::npos) continue;
    LevelsErrors e;
    try {
      e = errors_of(choice);
    } catch (const Error& error) {
      fmt::print("REFUSED {}: {}\n", error.what(), text);
      continue;
    }
    std::fflush(stdout);
    time.push_back(e.time), memory.push_back(e.memory);
    if (all || std::abs(e.time) > 0.05) fmt::print("time {:+.2f} % {}\n   {}\n", e.time * 100, text, terms_of(e));
    if (all || std::abs(e.memory) > 0.05) fmt::print("memory {:+.2f} % {}\n   {}\n", e.memory * 100, text, bytes_of(e));
  }
  print_spread("time", time);
  print_spread("memory", memory);
  return 0;
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  int count = 1000;
  unsigned seed = 20261126;
  bool all = false, zpp = false;
  const char* only = nullptr;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--all") == 0) {
      all = true;
    } else if (std::strcmp(argv[i], "--zpp") == 0) {
      zpp = true;
    } else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      seed = static_cast<unsigned>(std::atoi(argv[++i]));
    } else if (std::strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
      only = argv[++i];
    } else {
      count = std::atoi(argv[i]);
    }
  }
  return shardscope::run(count, seed, all, only, zpp);
}
