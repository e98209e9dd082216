#pragma once
// What every fuzz target needs: whatever the bytes are, a reader answers with a value or with an Error of one line.
// Anything else (another exception, a crash, a hang, a sanitizer's report) stops the fuzzer.
//
//   extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
//     return fuzz_reader(data, size, [](std::string_view text) { parse_model(text, "config.json"); });
//   }

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/error.h"

namespace shardscope {

[[noreturn]] inline void fuzz_failed(const char* what, const std::string& text) {
  std::fprintf(stderr, "fuzz: %s: %s\n", what, text.c_str());
  std::abort();
}

/// A message is one line, and not a page.
inline void expect_good_message(const std::string& message) {
  if (message.empty()) fuzz_failed("an error without a message", message);
  if (message.find('\n') != std::string::npos) fuzz_failed("an error of more than one line", message);
  if (message.size() > 2000) fuzz_failed("an error of more than 2000 characters", message);
}

template <class Reader>
int fuzz_reader(const std::uint8_t* data, std::size_t size, Reader&& read) {
  try {
    read(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const Error& error) {
    expect_good_message(error.what());
  }
  return 0;
}

}  // namespace shardscope
