#pragma once
// One look for each class of work: colour, texture, short name. The colours of a step's parts are those of the bars
// (gui/models/charts.cpp); forward, backward and recomputation divide what is one part there.

#include "gui/models/picture.h"
#include "profiler/store/levels.h"

namespace shardscope::gui {

struct WorkLook {
  const char *name, *mark;
  Rgb colour;
  Texture texture;
};

constexpr WorkLook look_of(WorkClass work) {
  switch (work) {
    case WorkClass::kLoad:
      return {"loading data", "load", kYellow, Texture::kBothLines};
    case WorkClass::kForward:
      return {"forward", "fwd", kBlue, Texture::kPlain};
    case WorkClass::kRecompute:
      return {"recompute", "re", kBrown, Texture::kHeadLine};
    case WorkClass::kBackward:
      return {"backward", "bwd", kPurple, Texture::kFootLine};
    case WorkClass::kOptimizer:
      return {"optimizer", "opt", kGreen, Texture::kBothLines};
    case WorkClass::kCommunication:
      return {"communication", "comm", kVermilion, Texture::kPlain};
    case WorkClass::kWait:
      return {"waiting for ranks", "wait", kGrey, Texture::kDots};
    case WorkClass::kOffload:
      return {"copies, NVMe, host", "offl", kSky, Texture::kPlain};
    case WorkClass::kCompute:
      return {"compute", "comp", kBlue, Texture::kPlain};
    case WorkClass::kHostApi:
      return {"host calls", "host", kBrown, Texture::kHeadLine};
    case WorkClass::kOther:
      return {"other", "other", kYellow, Texture::kBothLines};
  }
  return {"", "", kGrey, Texture::kPlain};
}

/// What stands around the lanes.
struct TimelineShades {
  Rgb ground, row, text, faint, line, band;
};
constexpr TimelineShades shades_of(bool dark) {
  if (dark) {
    return {{0x17, 0x18, 0x1a}, {0x24, 0x25, 0x29}, {0xe8, 0xe8, 0xe8},
            {0xb0, 0xb0, 0xb0}, {0x4a, 0x4b, 0x50}, {0x33, 0x35, 0x3a}};
  }
  return {{0xff, 0xff, 0xff}, {0xf1, 0xf2, 0xf4}, {0x1b, 0x1b, 0x1b},
          {0x59, 0x59, 0x59}, {0xc4, 0xc6, 0xca}, {0xe2, 0xe4, 0xe8}};
}

}  // namespace shardscope::gui
