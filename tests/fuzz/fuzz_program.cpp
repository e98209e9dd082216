// The text of a program, from anybody: refused in one line, or a program that its own text gives back, and that the
// verifier can look at whatever it says.

#include "core/program/program.h"
#include "core/program/text.h"
#include "core/program/verify.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  return fuzz_reader(data, size, [](std::string_view text) {
    const Program program = parse_program(text);
    const std::string printed = to_string(program);
    if (!(parse_program(printed) == program)) fuzz_failed("the text does not give the program back", printed);
    if (find_faults(program).empty()) compute_memory_peak(program);
  });
}
