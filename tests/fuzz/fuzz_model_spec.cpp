// config.json of anybody: refused in one line, or a model whose tensors add up to its parameter count.

#include "core/spec/model_spec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  return fuzz_reader(data, size, [](std::string_view text) {
    const ModelSpec model = parse_model(text, "config.json");
    if (parameter_count(model) <= 0) fuzz_failed("a model without parameters", std::string(text));
    if (active_parameter_count(model) > parameter_count(model)) fuzz_failed("more active than all", std::string(text));
    if (prediction_parameter_count(model) < 0) fuzz_failed("a count below 0", std::string(text));
    if (!(training_flops_per_token(model, 128) > 0)) fuzz_failed("a model without work", std::string(text));
  });
}
