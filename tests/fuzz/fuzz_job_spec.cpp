// A job file of anybody: refused in one line, or a job whose batch rule holds.

#include "core/spec/job.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  return fuzz_reader(data, size, [](std::string_view text) {
    const Job job = parse_job(text, "job.json", {});
    const TrainingSpec& training = job.training;
    if (training.train_batch_size != training.micro_batch * training.accumulation * job.parallel.dp) {
      fuzz_failed("the batch rule does not hold", std::string(text));
    }
  });
}
