#include "simulator/validate/row_text.h"

#include <algorithm>
#include <cctype>

#include "core/spec/csv.h"

namespace shardscope {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool is_numeral(char c) { return (c >= '0' && c <= '9') || c == '.'; }

}  // namespace

bool holds_word(std::string_view text, std::string_view part) {
  return lower(text).find(lower(part)) != std::string::npos;
}

std::optional<double> number_before(std::string_view text, std::string_view unit) {
  const std::string all = lower(text), wanted = lower(unit);
  for (auto at = all.find(wanted); at != std::string::npos; at = all.find(wanted, at + 1)) {
    auto begin = at;
    while (begin > 0 && is_numeral(all[begin - 1])) --begin;
    if (begin < at) return csv_real(std::string_view(all).substr(begin, at - begin));
  }
  return std::nullopt;
}

std::optional<double> number_after(std::string_view text, std::string_view word) {
  const std::string all = lower(text);
  auto begin = all.find(lower(word));
  if (begin == std::string::npos) return std::nullopt;
  begin += word.size();
  auto end = begin;
  while (end < all.size() && is_numeral(all[end])) ++end;
  return csv_real(std::string_view(all).substr(begin, end - begin));
}

std::string without_parentheses(std::string_view text) {
  std::string out(text.substr(0, text.find('(')));
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

}  // namespace shardscope
