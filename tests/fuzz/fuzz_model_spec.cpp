// config.json of anybody: refused in one line, or a model whose tensors add up to its parameter count.

#include "core/spec/model_spec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  return fuzz_reader(data, size, [](std::string_view text) {
    const ModelSpec model = parse_model(text, "config.json");
    if (parameter_count(model) <= 0) fuzz_failed("a model without parameters", std::string(text));
    if (!(training_flops_per_token(model, 128) > 0)) fuzz_failed("a model without work", std::string(text));
  });
}
