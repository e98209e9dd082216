// A spool that a process wrote into, or anybody: its head, its texts and one chunk from the input, at their places.

#include <cstring>

#include "profiler/capture/spool_reader.h"
#include "tests/fuzz/fuzz_import.h"

namespace shardscope {
namespace {

using namespace capture;

constexpr std::size_t kHead = 96, kTexts = 512;

std::string spool_of(std::string_view bytes) {
  std::string spool(spool_bytes(1), '\0');
  const auto put = [&](std::size_t at, std::size_t most) {
    const std::string_view part = bytes.substr(0, most);
    std::memcpy(spool.data() + at, part.data(), part.size());
    bytes.remove_prefix(part.size());
  };
  put(0, kHead);
  put(kHeaderBytes, kTexts);
  put(chunk_offset(0), kChunkBytes);
  return spool;
}

void read(const std::string& path) {
  SpoolReader spool(path);
  const auto visit = [&](std::uint32_t, const RecordHead& head) {
    if (const auto* range = record_as<RangeRecord>(head)) spool.text(range->name);
  };
  spool.peek(visit);
  spool.poll(visit);
}

}  // namespace
}  // namespace shardscope

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  const std::string path = (fuzz_folder() / "1.spool").string();
  return fuzz_reader(data, size, [&](std::string_view bytes) {
    const std::string spool = spool_of(bytes);
    std::ofstream(path, std::ios::binary).write(spool.data(), static_cast<std::streamsize>(spool.size()));
    read(path);
  });
}
