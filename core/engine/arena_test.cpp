#include "core/engine/arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/engine/plain_backend_for_test.h"
#include "core/error.h"

namespace shardscope {
namespace {

BufferId add(Program& program, const std::string& name, std::int64_t elements, Category category, Space space,
             bool persistent, std::int64_t address) {
  const BufferId id = program.add_buffer({.name = name,
                                          .elements = elements,
                                          .category = category,
                                          .space = space,
                                          .persistent = persistent,
                                          .address = address});
  auto& extent = program.arena_bytes[static_cast<std::size_t>(space)];
  extent = std::max(extent, address + program.buffer(id).bytes());
  return id;
}

/// w persistent at 0 (64 bytes), a at 64 (128), b at 192 (64), c over a (64), h on the host.
struct Small {
  Program program;
  BufferId w = add(program, "w", 16, Category::kParameter, Space::kDevice, true, 0);
  BufferId a = add(program, "a", 17, Category::kActivation, Space::kDevice, false, 64);
  BufferId b = add(program, "b", 1, Category::kWorkspace, Space::kDevice, false, 192);
  BufferId c = add(program, "c", 16, Category::kActivation, Space::kDevice, false, 64);
  BufferId h = add(program, "h", 100, Category::kOptimizer, Space::kHost, false, 0);
};

void emit(Program& program, Op op) { program.instructions.push_back({.op = std::move(op)}); }

void run(const Program& program, Arena& arena) {
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    const OpId id{static_cast<std::int32_t>(i)};
    if (const auto* op = std::get_if<Alloc>(&program.instructions[i].op)) arena.allocate(op->buffer, id);
    if (const auto* op = std::get_if<Free>(&program.instructions[i].op)) arena.release(op->buffer, id);
  }
}

TEST(Arena, CountsLiveBytesAndPeaksRoundedToTheAlignment) {
  Small s;
  PlainBackend backend;
  {
    Arena arena(s.program, backend);
    EXPECT_EQ(backend.allocated, 256 + 448);
    EXPECT_EQ(arena.peak().peak_bytes[0], 64);
    EXPECT_FALSE(arena.peak().at[0].valid());
    arena.allocate(s.a, OpId{0});
    arena.allocate(s.b, OpId{1});
    arena.allocate(s.h, OpId{2});
    EXPECT_EQ(arena.live().total(Space::kDevice), 64 + 128 + 64);
    EXPECT_EQ(arena.live().total(Space::kHost), 448);
    arena.release(s.b, OpId{3});
    arena.release(s.a, OpId{4});
    arena.allocate(s.c, OpId{5});
    EXPECT_EQ(arena.live().total(Space::kDevice), 64 + 64);
    EXPECT_EQ(arena.peak().peak_bytes[0], 256);
    EXPECT_EQ(arena.peak().at[0], OpId{1});
    EXPECT_EQ(arena.peak().at_peak.bytes[0][static_cast<int>(Category::kActivation)], 128);
  }
  EXPECT_EQ(backend.allocated, 0);
}

TEST(Arena, AgreesWithThePredictionOnRandomPrograms) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    Program program;
    std::vector<BufferId> ids, live;
    std::int64_t address[kSpaces] = {};
    for (int i = 0; i < 30; ++i) {  // no reuse of addresses here: the counting is what is tested
      const int space = static_cast<int>(random() % 3);
      const BufferId id = add(program, "b" + std::to_string(i), 1 + random() % 500, static_cast<Category>(random() % 8),
                              static_cast<Space>(space), random() % 4 == 0, address[space]);
      address[space] += program.buffer(id).bytes();
      if (!program.buffer(id).persistent) ids.push_back(id);
    }
    for (BufferId id : ids) {
      emit(program, Alloc{id});
      live.push_back(id);
      while (!live.empty() && random() % 2 == 0) {
        const std::size_t victim = random() % live.size();
        emit(program, Free{live[victim]});
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(victim));
      }
    }
    for (BufferId id : live) emit(program, Free{id});
    PlainBackend backend;
    Arena arena(program, backend);
    run(program, arena);
    run(program, arena);  // a second step changes nothing
    arena.check_step_end();
    const MemoryPeak predicted = compute_memory_peak(program);
    EXPECT_EQ(arena.peak().peak_bytes, predicted.peak_bytes);
    EXPECT_EQ(arena.peak().peak_by_category, predicted.peak_by_category);
    EXPECT_EQ(arena.peak().at_peak, predicted.at_peak);
    EXPECT_EQ(arena.peak().at, predicted.at);
  }
}

TEST(Arena, OverTheLimitIsAnErrorThatSaysWhatWouldFit) {
  Small s;
  emit(s.program, Alloc{s.a});
  emit(s.program, Alloc{s.b});
  s.program.instructions[1].label.name = s.program.intern("h.3.mlp");
  emit(s.program, Free{s.b});
  emit(s.program, Free{s.a});
  PlainBackend backend;
  Arena fits(s.program, backend, {.device_limit_bytes = 256});
  run(s.program, fits);
  Arena arena(s.program, backend, {.device_limit_bytes = 255});
  try {
    run(s.program, arena);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDevice);
    EXPECT_THAT(error.what(), testing::HasSubstr("op 1 (h.3.mlp)"));
    EXPECT_THAT(error.what(), testing::HasSubstr("64 B for workspace 'b'"));
    EXPECT_THAT(error.what(), testing::HasSubstr("activation 128 B, parameter 64 B"));
    EXPECT_THAT(error.what(), testing::HasSubstr("a limit of 256 bytes would fit"));
  }
}

TEST(Arena, PersistentBuffersAloneMayBeTooMuchAndNothingLeaks) {
  Small s;
  PlainBackend backend;
  EXPECT_THROW(Arena(s.program, backend, {.device_limit_bytes = 63}), Error);
  EXPECT_EQ(backend.allocated, 0);
}

TEST(Arena, PoisonFillsWithNaN) {
  Small s;
  PlainBackend backend;
  Arena arena(s.program, backend);
  auto* data = arena.memory().as<float>(s.program.whole(s.a));
  arena.allocate(s.a, OpId{0});
  arena.poison();
  for (int i = 0; i < 17; ++i) EXPECT_TRUE(std::isnan(data[i]));
}

using ArenaDeathTest = testing::Test;

TEST(ArenaDeathTest, ProgramsThatMisuseMemoryStop) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Small s;
  PlainBackend backend;
  Arena arena(s.program, backend);
  EXPECT_DEATH(arena.release(s.a, OpId{0}), "is_live_");    // never taken
  EXPECT_DEATH(arena.release(s.w, OpId{0}), "persistent");  // not ours to give back
  arena.allocate(s.a, OpId{0});
  EXPECT_DEATH(arena.allocate(s.a, OpId{1}), "is_live_");  // twice
  EXPECT_DEATH(arena.allocate(s.c, OpId{1}), "ranges");    // lies in a
  EXPECT_DEATH(arena.check_step_end(), "is false; a");     // leaked
}

TEST(FormatBytes, UsesBinaryUnits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(std::int64_t{3} << 30), "3.0 GiB");
}

TEST(Arena, ServesAnotherProgramWithTheSamePersistentBuffers) {
  Small first, second;
  second.program.buffers[1].name = "other";
  PlainBackend backend;
  Arena arena(first.program, backend);
  *arena.memory().as<float>(first.program.whole(first.w)) = 7;
  arena.allocate(first.a, OpId{0});
  arena.release(first.a, OpId{1});
  arena.serve(second.program);
  EXPECT_EQ(arena.peak().peak_bytes[0], 64);  // counted anew
  EXPECT_EQ(*arena.memory().as<float>(second.program.whole(second.w)), 7);
  arena.allocate(second.b, OpId{0});
  EXPECT_EQ(arena.peak().peak_bytes[0], 128);
}

TEST(ArenaDeathTest, ServesNoProgramWithOtherPersistentBuffers) {
  Small first, second;
  second.program.buffers[0].name = "v";
  PlainBackend backend;
  Arena arena(first.program, backend);
  EXPECT_DEATH(arena.serve(second.program), "");
}

}  // namespace
}  // namespace shardscope
