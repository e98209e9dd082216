// Writing and reading a checkpoint against a plain write of the same bytes.
//
//   checkpoint_bench [FOLDER] [MIB]      in FOLDER (default: the current one), MIB of state (default 480)
//
// Prints: what, ranks, MiB, seconds that training waits, seconds until all is on the disk, GB/s. Best of 5, in turn.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/engine/checkpoint/checkpoint_source.h"
#include "core/engine/checkpoint/checkpointer.h"
#include "core/engine/checkpoint/disk_file.h"
#include "core/engine/executor.h"

namespace shardscope {
namespace {

constexpr int kTurns = 5;

/// Ranks that each hold a shard of one large parameter and its moments.
struct State {
  State(int ranks, std::int64_t elements) {
    const Parameter parameter{"w", {elements}};
    for (int r = 0; r < ranks; ++r) {
      Program program;
      program.rank = r;
      program.parameters.push_back(parameter);
      const std::int64_t begin = elements * r / ranks, count = elements * (r + 1) / ranks - begin;
      for (const StateRole role : {StateRole::kParameter, StateRole::kExpAvg, StateRole::kExpAvgSq}) {
        const auto at = static_cast<std::int64_t>(role) * count * 4;
        const BufferId id = program.add_buffer(
            {.name = std::string(to_string(role)), .elements = count, .persistent = true, .address = at});
        program.state.push_back({0, role, begin, program.whole(id)});
      }
      programs.push_back(std::move(program));
      bytes.emplace_back(static_cast<std::size_t>(4 * count * 4), std::byte{0x3c});
    }
    record.model_json = record.training_json = "{}";
    record.tensors = {{"w", {elements}}};
  }
  Memory memory(std::size_t rank) {
    Memory m{.program = &programs[rank]};
    m.bases[static_cast<int>(Space::kDevice)] = bytes[rank].data();
    return m;
  }
  std::vector<Program> programs;
  std::vector<std::vector<std::byte>> bytes;
  Manifest record;
};

double seconds(const std::function<void()>& work) {
  const std::int64_t start = steady_now_ns();
  work();
  return static_cast<double>(steady_now_ns() - start) * 1e-9;
}

struct Times {
  double wait = 1e9, whole = 1e9;
};

void for_each_rank(State& state, const std::function<void(int, const Memory&)>& work) {
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < state.programs.size(); ++r) {
    threads.emplace_back([&, r] { work(static_cast<int>(r), state.memory(r)); });
  }
  for (std::thread& thread : threads) thread.join();
}

void write_once(State& state, Checkpointer& checkpoints, std::int64_t step, Times& best) {
  const std::int64_t start = steady_now_ns();
  for_each_rank(state, [&](int rank, const Memory& memory) { checkpoints.at_boundary(rank, memory, {.steps = step}); });
  best.wait = std::min(best.wait, static_cast<double>(steady_now_ns() - start) * 1e-9);
  for_each_rank(state, [&](int rank, const Memory& memory) { checkpoints.finish(rank, memory); });
  best.whole = std::min(best.whole, static_cast<double>(steady_now_ns() - start) * 1e-9);
}

double write_plainly(const std::string& path, std::span<const std::byte> bytes) {
  return seconds([&] {
    DiskFile file = DiskFile::create(path);
    for (std::size_t done = 0; done < bytes.size(); done += 8 << 20) {
      file.write(static_cast<std::int64_t>(done),
                 bytes.subspan(done, std::min<std::size_t>(8 << 20, bytes.size() - done)));
    }
    file.sync();
  });
}

void print(const char* what, std::size_t ranks, std::int64_t bytes, Times times) {
  fmt::print("{:24} {:2} ranks {:6.0f} MiB  waits {:.3f} s  done {:.3f} s  {:.2f} GB/s\n", what, ranks,
             static_cast<double>(bytes) / (1 << 20), times.wait, times.whole,
             static_cast<double>(bytes) * 1e-9 / times.whole);
}

void run(const std::string& folder, std::int64_t mib) {
  const std::int64_t elements = (mib << 20) / 12, bytes = 12 * elements;
  const std::vector<std::byte> plain(static_cast<std::size_t>(bytes), std::byte{0x3c});
  Times plainly;
  std::vector<Times> ours;
  const std::array<int, 2> worlds{1, 2};
  for (const int ranks : worlds) {
    State state(ranks, elements);
    Checkpointer checkpoints({.folder = folder + "/ours", .every = 1, .keep = 1}, state.record,
                             deal_state(state.programs), ranks == 1 ? std::vector<int>{0} : std::vector<int>{0, 1},
                             [](const std::string& line) { fmt::print("{}\n", line); });
    ours.emplace_back();
    for (int turn = 1; turn <= kTurns; ++turn) {
      write_once(state, checkpoints, turn, ours.back());
      plainly.whole = plainly.wait = std::min(plainly.whole, write_plainly(folder + "/plain", plain));
    }
  }
  print("plain write and fsync", 1, bytes, plainly);
  for (std::size_t i = 0; i < ours.size(); ++i)
    print("checkpoint", static_cast<std::size_t>(worlds[i]), bytes, ours[i]);
  Times reading;
  std::vector<float> values(static_cast<std::size_t>(elements));
  for (int turn = 0; turn < kTurns; ++turn) {
    reading.whole =
        std::min(reading.whole, seconds([&] {
                   CheckpointSource source(find_checkpoint(folder + "/ours", [](const std::string&) {}));
                   for (const StateRole role : {StateRole::kParameter, StateRole::kExpAvg, StateRole::kExpAvgSq}) {
                     source.read(0, role, 0, values);
                   }
                 }));
  }
  reading.wait = reading.whole;
  print("read, from page cache", 1, bytes, reading);
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  const std::string folder = (argc > 1 ? std::string(argv[1]) : ".") + "/checkpoint_bench";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  shardscope::run(folder, argc > 2 ? std::atoll(argv[2]) : 480);
  std::filesystem::remove_all(folder);
}
