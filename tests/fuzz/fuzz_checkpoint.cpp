// A checkpoint's index files, with a checksum that holds: refused in one line, or parts within the file and the tensor.

#include <string>

#include "core/engine/checkpoint/checkpoint_format.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  return fuzz_reader(data, size, [](std::string_view body) {
    std::string text(body);
    static const std::string sample = to_json(RankIndex{});
    const std::size_t seal = sample.rfind(",\n\"checksum\"");
    char sum[17];
    std::snprintf(sum, sizeof sum, "%016llx", static_cast<unsigned long long>(checksum(std::string_view(text))));
    std::string ending = sample.substr(seal);
    ending.replace(ending.size() - 19, 16, sum);
    text += ending;
    try {
      for (const PartEntry& part : parse_rank_index(text, "rank-00000.json").parts) {
        std::int64_t elements = 0;
        for (const RunGroup& run : part.runs) elements += run.elements();
        if (elements != part.elements) fuzz_failed("runs are not the part's elements", part.tensor);
      }
    } catch (const Error& error) {
      expect_good_message(error.what());
    }
    parse_manifest(text, "checkpoint.json");
  });
}
