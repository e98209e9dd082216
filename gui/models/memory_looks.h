#pragma once
// One look for each category of memory, from the bottom of a stack to its top: what stays below what comes and goes.
// The mark is written on its areas and segments: hue is never the only cue.

#include <array>

#include "core/program/types.h"
#include "gui/models/bar_chart.h"

namespace shardscope::gui {

struct MemoryLook {
  Category category;
  const char *name, *mark;
  Rgb colour;
};

inline constexpr std::array kMemoryLooks{
    MemoryLook{Category::kParameter, "parameters", "param", kBlue},
    MemoryLook{Category::kMaster, "master weights", "mast", kSky},
    MemoryLook{Category::kGradient, "gradients", "grad", kOrange},
    MemoryLook{Category::kOptimizer, "optimizer state", "opt", kGreen},
    MemoryLook{Category::kActivation, "activations", "act", kVermilion},
    MemoryLook{Category::kBucket, "buckets", "bkt", kPurple},
    MemoryLook{Category::kWorkspace, "workspace", "work", kYellow},
    MemoryLook{Category::kBatch, "batch", "bat", kGrey},
    MemoryLook{Category::kCache, "key/value cache", "kv", kBrown},
    MemoryLook{Category::kOther, "other", "other", kGrey},
};
static_assert(kMemoryLooks.size() == kCategories, "every category has a name and a colour");

constexpr const MemoryLook& look_of(Category category) {
  for (const MemoryLook& look : kMemoryLooks) {
    if (look.category == category) return look;
  }
  return kMemoryLooks[0];
}

}  // namespace shardscope::gui
