// What a killed run left beside its profile, damaged or from anybody: edits of a sound file of events, six bytes for
// each: where (four bytes, near the heads of file and blocks), what (one), and one to keep them apart.

#include <cstring>
#include <iterator>

#include "profiler/query/step_breakdown.h"
#include "profiler/store/event_file.h"
#include "profiler/store/run_store.h"
#include "profiler/store/test_profile.h"
#include "tests/fuzz/fuzz_import.h"

namespace shardscope {
namespace {

constexpr std::size_t kFileHead = 4096, kBlocks = 3, kNear = 1024;

std::string bytes_of(const std::string& path, std::size_t most = std::string::npos) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  return bytes.substr(0, most);
}

template <class Event>
void fill(EventFile& file, EventKind kind, const std::vector<Event>& events) {
  EventBlock* block = file.take({kind, 0, 0, 0});
  std::memcpy(block->events(), events.data(), events.size() * sizeof(Event));
  block->published.store(static_cast<std::uint32_t>(events.size()));
}

/// A run of which everything after its third step waits in the file of events.
struct Left {
  std::string profile, events;  ///< bytes: of the events the part that is in use
  std::uintmax_t size = 0;      ///< of the whole file of events
};
const Left& sound() {
  static const Left left = [] {
    const std::string path = (fuzz_folder() / "sound.db").string();
    ProfileWriter writer(path, testing::tiny_run("killed"));
    testing::record_tiny_run(writer, 3);
    writer.finish();
    Connection db(path, Connection::Mode::kReadWrite);
    const std::string key = db.text("SELECT key FROM run");
    db.execute("UPDATE run SET status = 'running'; INSERT INTO meta VALUES ('" + collected_key(key) + "', '[]')");
    const auto file = EventFile::create(path, key);
    fill<SliceEvent>(*file, EventKind::kSlice, {{testing::kMatMulOp, 3, Lane::kCompute, 3'000'100, 300}});
    fill<MemoryEvent>(*file, EventKind::kMemory,
                      {{testing::kAllocOp, 3, 3'000'000, Space::kDevice, Category::kBucket, 64}});
    fill<StepEvent>(*file, EventKind::kStep, {{3, 3'000'000, 1'000'000, 1, 1, 1}});
    const std::string events = EventFile::beside(path).at(0);
    return Left{bytes_of(path), bytes_of(events, kFileHead + kBlocks * EventBlock::kBytes),
                std::filesystem::file_size(events)};
  }();
  return left;
}

std::string edited(std::string_view edits) {
  std::string file = sound().events;
  for (; edits.size() >= 6; edits.remove_prefix(6)) {
    std::uint32_t where = 0;
    std::memcpy(&where, edits.data(), sizeof where);
    const std::size_t part = where % (kBlocks + 1), at = where / (kBlocks + 1) % kNear;
    file[part == 0 ? at : kFileHead + (part - 1) * EventBlock::kBytes + at] = edits[4];
  }
  return file;
}

}  // namespace
}  // namespace shardscope

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  const std::string path = (fuzz_folder() / "run.db").string(), events = path + "-events-1";
  return fuzz_reader(data, size, [&](std::string_view bytes) {
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
      std::error_code ignored;
      std::filesystem::remove(path + suffix, ignored);
    }
    const std::string file = edited(bytes);
    std::ofstream(path, std::ios::binary) << sound().profile;
    std::ofstream(events, std::ios::binary) << file;
    std::filesystem::resize_file(events, sound().size);
    const Profile profile(path);
    for (const RunRow& run : list_runs(profile)) step_breakdown(profile, run.id);
    ask_imported(path);
  });
}
