// ds_config.json of anybody. parse_training() stops at what it does not know, check_training() reports it.

#include "core/spec/training_spec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  fuzz_reader(data, size, [](std::string_view text) { check_training(text, "ds_config.json", nullptr, 4); });
  return fuzz_reader(data, size, [](std::string_view text) {
    const TrainingSpec spec = parse_training(text, "ds_config.json", 4, AutoValues{});
    if (spec.train_batch_size != spec.micro_batch * spec.accumulation * 4) {
      fuzz_failed("the batch rule does not hold", std::string(text));
    }
  });
}
