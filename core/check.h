#pragma once
// SS_CHECK(condition, values...): a bug in Shardscope if it fails. Always on; prints the condition and the values, and
// stops. No user input may reach it: bad input throws Error (core/error.h).

#include <sstream>
#include <string>

namespace shardscope {

[[noreturn]] void check_failed(const char* condition, const char* file, int line, const std::string& values);

template <class... Values>
std::string check_values(const Values&... values) {
  std::ostringstream text;
  ((text << ' ' << values), ...);
  return text.str();
}

}  // namespace shardscope

#define SS_CHECK(condition, ...)                                                                           \
  do {                                                                                                     \
    if (!(condition))                                                                                      \
      ::shardscope::check_failed(#condition, __FILE__, __LINE__, ::shardscope::check_values(__VA_ARGS__)); \
  } while (false)
