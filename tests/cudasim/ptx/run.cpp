#include "tests/cudasim/ptx/run.h"

#include <algorithm>
#include <atomic>

#include "tests/cudasim/ptx/block.h"

namespace cudasim::ptx {

namespace {

constexpr u64 kBudget = 1 << 20, kCooperativeBudget = 64;  ///< signs of spinning before another block has its turn
constexpr u64 kMostResident = 64;
constexpr int kMostIdleRounds = 100'000;

std::atomic<u64> launches = 0, instructions = 0;

struct Count {
  u64 value = 0;
  ~Count() { instructions += value; }
};

std::vector<u64> drawn_order(u64 blocks, std::mt19937& random) {
  std::vector<u64> order(blocks);
  for (u64 i = 0; i < blocks; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  return order;
}

}  // namespace

u64 instructions_run() { return instructions; }

void run(const Kernel& kernel, const Launch& launch, Machine& machine, AccessSet* accesses) {
  std::mt19937 random(launch.seed);
  const u64 blocks = static_cast<u64>(launch.grid.x) * launch.grid.y * launch.grid.z;
  const std::vector<u64> order = drawn_order(blocks, random);  // a device promises none
  const u64 number = ++launches;
  const u64 budget = launch.cooperative ? kCooperativeBudget : kBudget;
  std::vector<std::unique_ptr<Block>> live, spare;
  Releases releases;
  Count count;
  u64 next = 0, wanted = launch.cooperative ? blocks : 1;
  int idle = 0;
  while (next < blocks || !live.empty()) {
    while (live.size() < wanted && next < blocks) {
      if (spare.empty()) spare.push_back(make_block(kernel, launch, machine, accesses, number, releases));
      make_ready(*spare.back(), order[next++], random);
      live.push_back(std::move(spare.back()));
      spare.pop_back();
    }
    bool finished = false;
    for (auto block = live.begin(); block != live.end();) {
      if (!run_block(**block, budget, count.value)) {
        ++block;
        continue;
      }
      finished = true;
      spare.push_back(std::move(*block));
      block = live.erase(block);
    }
    if (!launch.cooperative) wanted = finished ? 1 : std::min(wanted + 1, kMostResident);
    if (finished) idle = 0;
    if (++idle > kMostIdleRounds) {
      throw Fault{cudaErrorLaunchTimeout,
                  "kernel " + kernel.title + ": no block finishes (does it wait for more blocks than fit?)"};
    }
  }
}

}  // namespace cudasim::ptx
