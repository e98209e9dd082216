// An export of Nsight Systems from anybody. The bytes are edits of a sound one, six for each: where (four bytes), what
// (one), and one to keep them apart; or, if the first byte is odd, the whole file.

#include <cstring>
#include <iterator>

#include "profiler/store/sqlite.h"
#include "tests/fuzz/fuzz_import.h"

namespace shardscope {
namespace {

const std::string& sound_export() {
  static const std::string bytes = [] {
    const std::string path = (fuzz_folder() / "sound.sqlite").string();
    Connection(path, Connection::Mode::kCreate)
        .execute(
            "CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT); INSERT INTO StringIds VALUES (1, "
            "'cudaLaunch'), "
            "(2, 'ncclKernel_AllReduce_RING_LL'), (3, 'iteration 2');"
            "CREATE TABLE META_DATA_EXPORT (name TEXT, value TEXT); INSERT INTO META_DATA_EXPORT VALUES "
            "('EXPORT_PRODUCT_VERSION', '2025.5');"
            "CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER, end INTEGER, globalTid INTEGER, correlationId "
            "INTEGER, nameId INTEGER); INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (100, 120, 16777221, 9, 1);"
            "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER, "
            "correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, shortName INTEGER, gridX INTEGER, blockX "
            "INTEGER); INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (200, 260, 0, 7, 9, 16777216, 2, 2, 8, 256);"
            "CREATE TABLE NVTX_EVENTS (start INTEGER, end INTEGER, eventType INTEGER, text TEXT, globalTid INTEGER, "
            "textId INTEGER, domainId INTEGER); INSERT INTO NVTX_EVENTS VALUES (50, 300, 59, NULL, 16777221, 3, 0);"
            "CREATE TABLE CUDA_GPU_MEMORY_USAGE_EVENTS (start INTEGER, globalPid INTEGER, bytes INTEGER, memKind "
            "INTEGER, "
            "memoryOperationType INTEGER); INSERT INTO CUDA_GPU_MEMORY_USAGE_EVENTS VALUES (60, 16777216, 4096, 2, "
            "0);");
    std::ifstream in(path, std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(in), {}};
  }();
  return bytes;
}

std::string edited(std::string_view edits) {
  std::string file = sound_export();
  for (; edits.size() >= 6; edits.remove_prefix(6)) {
    std::uint32_t where = 0;
    std::memcpy(&where, edits.data(), sizeof where);
    file[where % file.size()] = edits[4];
  }
  return file;
}

}  // namespace
}  // namespace shardscope

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string file = (bytes[0] & 1) != 0 ? std::string(bytes.substr(1)) : edited(bytes.substr(1));
  return fuzz_import(reinterpret_cast<const std::uint8_t*>(file.data()), file.size(), "export.sqlite");
}
