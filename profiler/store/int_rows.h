#pragma once
// Rows of N integers as a JSON array of arrays, "[[1,2],[3,4]]": how chunks keep many small rows in one text. Written
// and read some ten times as fast as through a JSON library, and still JSON for plain SQL.
//
//   std::string text = "[";  append_row<2>(text, {1, 2});  text += ']';
//   bool good = read_rows<2>(text, [](const std::array<std::int64_t, 2>& row) { return row[0] >= 0; });

#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

namespace shardscope {

/// Appends a row to a text that begins with '[' and gets its ']' from the caller.
template <std::size_t N>
void append_row(std::string& text, const std::array<std::int64_t, N>& values) {
  char row[N * 21 + 3];
  char* at = row;
  if (text.size() > 1) *at++ = ',';
  for (std::size_t i = 0; i < N; ++i) {
    *at++ = i == 0 ? '[' : ',';
    at = std::to_chars(at, row + sizeof row, values[i]).ptr;
  }
  *at++ = ']';
  text.append(row, static_cast<std::size_t>(at - row));
}

/// Where an integer ends that begins at `at`; null if there is none. As std::from_chars does it, only faster.
inline const char* read_integer(const char* at, const char* end, std::int64_t& value) {
  constexpr std::ptrdiff_t kSafeDigits = 18;  // of any 19 the largest may be too large
  const bool negative = at != end && *at == '-';
  const char* const first = at + (negative ? 1 : 0);
  const char *digit = first, *const safe = end - first > kSafeDigits ? first + kSafeDigits : end;
  std::int64_t sum = 0;
  for (; digit != safe && *digit >= '0' && *digit <= '9'; ++digit) sum = sum * 10 + (*digit - '0');
  if (digit == first || (digit != end && *digit >= '0' && *digit <= '9')) {
    const auto [stop, error] = std::from_chars(at, end, value);
    return error == std::errc() ? stop : nullptr;
  }
  value = negative ? -sum : sum;
  return digit;
}

/// Calls `row` for each. False if the text is not exactly rows of N integers without blanks, or if `row` returns false;
/// rows before that have been given.
template <std::size_t N, class F>
bool read_rows(std::string_view text, F&& row) {
  const char *at = text.data(), *end = text.data() + text.size();
  const auto take = [&](char c) { return at != end && *at == c && (++at, true); };
  if (!take('[')) return false;
  if (take(']')) return at == end;
  do {
    std::array<std::int64_t, N> values{};
    for (std::size_t i = 0; i < N; ++i) {
      if (!take(i == 0 ? '[' : ',')) return false;
      at = read_integer(at, end, values[i]);
      if (at == nullptr) return false;
    }
    if (!take(']') || !row(values)) return false;
  } while (take(','));
  return take(']') && at == end;
}

}  // namespace shardscope
