#include "profiler/capture/step_name.h"

#include <algorithm>
#include <charconv>

namespace shardscope {
namespace {

constexpr std::string_view kWords[] = {"ProfilerStep", "training_step", "train_step", "iteration",
                                       "iter",         "global_step",   "step"};

bool starts_with_word(std::string_view text, std::string_view word) {
  return text.size() >= word.size() && std::equal(word.begin(), word.end(), text.begin(), [](char a, char b) {
           return a == b || (b >= 'A' && b <= 'Z' && a == b - 'A' + 'a');
         });
}

}  // namespace

std::optional<StepName> step_name(std::string_view annotation) {
  for (std::string_view word : kWords) {
    if (annotation.size() <= word.size() || !starts_with_word(annotation, word)) continue;
    std::string_view rest = annotation.substr(word.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(" #_:=-"), rest.size()));
    std::int64_t number = 0;
    const auto [stop, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    const bool to_the_end = stop == rest.data() + rest.size();
    if (error == std::errc() && to_the_end && number >= 0 && number <= INT32_MAX)
      return StepName{number, word == "ProfilerStep" ? 2 : 1};
  }
  return std::nullopt;
}

bool is_unnumbered_step(std::string_view annotation) {
  return std::any_of(std::begin(kWords), std::end(kWords), [&](std::string_view word) {
    return starts_with_word(annotation, word) &&
           annotation.find_first_not_of(" #_:=-", word.size()) == std::string_view::npos;
  });
}

bool is_optimizer_step(std::string_view annotation) {
  return annotation.ends_with(".step") && annotation.find("ptimizer") != std::string_view::npos;
}

}  // namespace shardscope
