// The memory view as pixels.

#include <gtest/gtest.h>

#include "gui/models/memory_picture.h"
#include "gui/models/memory_sample.h"
#include "gui/paint/golden_for_test.h"

namespace shardscope::gui {
namespace {

TEST(MemoryGolden, Views) {
  const shardscope::testing::TempFolder folder;
  record_sample_memory(folder.file("run.db"));
  const Profile profile(folder.file("run.db"));
  const MemoryTimeline memory(profile, load_memory_facts(profile, 1)),
      predicted(profile, load_memory_facts(profile, 2));
  const auto draw = [&](MemoryState state, double width, double height) {
    const MemoryFrame frame = memory_frame(memory.facts().of(state.space).size(), state.ranks, width, height);
    const MemoryData data = load_memory_data(memory, &predicted, state, frame);
    return draw_memory(data, {"sample", "measured, 3 ranks", false}, state, width, height, text_width());
  };
  testing::expect_golden("memory", [&](bool dark) {
    MemoryState state;
    state.cursor = MemoryCursor{2, 15'500'000};
    state.dark = dark;
    return draw(state, 1100, 560);
  });
  testing::expect_golden("memory-none", [&](bool dark) {
    MemoryState state;
    state.space = Space::kPinned;
    state.dark = dark;
    return draw(state, 700, 220);
  });
}

}  // namespace
}  // namespace shardscope::gui
