// A profile from anybody. The bytes are edits of a sound profile, six for each: where (four bytes), what (one), and one
// to keep them apart; or, if the first byte is odd, the whole file. Refused in one line, or every question is answered.

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "profiler/query/collective_bandwidth.h"
#include "profiler/query/exposed_communication.h"
#include "profiler/query/list_runs.h"
#include "profiler/query/memory_by_category.h"
#include "profiler/query/op_comparison.h"
#include "profiler/query/op_summary.h"
#include "profiler/query/step_breakdown.h"
#include "profiler/query/step_times.h"
#include "profiler/store/test_profile.h"
#include "tests/fuzz/fuzz.h"

namespace shardscope {
namespace {

/// A file of this process in memory, if the machine has such a folder.
const std::string& scratch_file() {
  static const std::string path = [] {
    const bool in_memory = std::filesystem::is_directory("/dev/shm");
    const auto folder = in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
    return (folder / ("shardscope_fuzz_" + std::to_string(::getpid()) + ".db")).string();
  }();
  return path;
}

void remove_scratch() {
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    std::error_code ignored;
    std::filesystem::remove(scratch_file() + suffix, ignored);
  }
}

const std::string& sound_profile() {
  static const std::string bytes = [] {
    remove_scratch();
    for (const bool predicted : {false, true}) {
      ProfileWriter writer(scratch_file(), testing::tiny_run("tiny", predicted));
      testing::record_tiny_run(writer, 3);
      writer.finish();
    }
    std::ifstream in(scratch_file(), std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    std::atexit(remove_scratch);
    return text;
  }();
  return bytes;
}

std::string edited(std::string_view edits) {
  std::string file = sound_profile();
  for (; edits.size() >= 6; edits.remove_prefix(6)) {
    std::uint32_t where = 0;
    std::memcpy(&where, edits.data(), sizeof where);
    file[where % file.size()] = edits[4];
  }
  return file;
}

void ask_everything(const Profile& profile) {
  for (const RunRow& run : list_runs(profile)) {
    step_breakdown(profile, run.id), step_breakdown_by_step(profile, run.id), step_times(profile, run.id);
    op_summary(profile, run.id), memory_by_category(profile, run.id), collective_bandwidth(profile, run.id);
    exposed_communication(profile, run.id), list_diagnostics(profile, run.id);
    for (const RankRow& rank : list_ranks(profile, run.id)) {
      memory_over_time(profile, run.id, rank.rank, Space::kDevice);
      op_comparison(profile, run.id, profile, run.id, rank.rank);
    }
  }
}

}  // namespace
}  // namespace shardscope

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  if (size == 0) return 0;
  return fuzz_reader(data, size, [](std::string_view bytes) {
    const std::string file = (bytes[0] & 1) != 0 ? std::string(bytes.substr(1)) : edited(bytes.substr(1));
    remove_scratch();
    std::ofstream(scratch_file(), std::ios::binary).write(file.data(), static_cast<std::streamsize>(file.size()));
    ask_everything(Profile(scratch_file()));
  });
}
