#pragma once
// Runs a few lines of PTX on one warp: `body` finds its thread in %r0 and the address of its own 8 bytes of output in
// %rd0.
//
//   EXPECT_THAT(run_lanes<u32>("add.u32 %r1, %r0, 5; st.global.u32 [%rd0], %r1;"), ...);

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/cudasim/core/machine.h"
#include "tests/cudasim/ptx/module.h"
#include "tests/cudasim/ptx/run.h"

namespace cudasim::ptx {

inline std::string kernel_text(const std::string& body, const std::string& before = "") {
  return ".version 9.0\n.target sm_90\n.address_size 64\n" + before +
         ".visible .entry k(\n.param .u64 k_param_0\n)\n{\n"
         ".reg .pred %p<9>;\n.reg .b16 %rs<9>;\n.reg .b32 %r<17>;\n.reg .f32 %f<17>;\n.reg .b64 %rd<9>;\n.reg .f64 "
         "%fd<9>;\n"
         "mov.u32 %r0, %tid.x;\nld.param.u64 %rd0, [k_param_0];\ncvta.to.global.u64 %rd0, %rd0;\n"
         "mul.wide.u32 %rd1, %r0, 8;\nadd.s64 %rd0, %rd0, %rd1;\n" +
         body + "\nret;\n}\n";
}

class OneWarp {
 public:
  explicit OneWarp(const Settings& wanted = small()) : machine(wanted) {}
  static Settings small() {
    Settings settings;
    settings.devices = 1;
    settings.arena_bytes = 1ull << 30;
    settings.keep_exit_code = true;
    return settings;
  }
  /// The 8 bytes of each of `threads`. Throws Fault.
  std::vector<u64> run(const std::string& text, u32 threads = 32, u32 dynamic_shared = 0) {
    Module module(text, machine, 0);
    void* out = nullptr;
    machine.memory.allocate(MemoryKind::kDevice, 0, threads * 8ull, "test", &out);
    u8* bytes = machine.memory.access({reinterpret_cast<u64>(out), threads * 8ull, true, 0, "test"}, nullptr);
    std::memset(bytes, 0, threads * 8ull);
    const Launch launch{dim3(1), dim3(threads), dynamic_shared, reinterpret_cast<const u8*>(&out), 0, false, 1};
    ptx::run(module.kernel("k"), launch, machine, nullptr);
    std::vector<u64> values(threads);
    std::memcpy(values.data(), bytes, threads * 8ull);
    return values;
  }
  Machine machine;
};

template <class T>
std::vector<T> run_lanes(const std::string& body, const std::string& before = "") {
  OneWarp warp;
  std::vector<T> out;
  for (const u64 value : warp.run(kernel_text(body, before))) {
    T narrow;
    std::memcpy(&narrow, &value, sizeof narrow);
    out.push_back(narrow);
  }
  EXPECT_EQ(warp.machine.reports.count(), 0) << warp.machine.reports.text(0);
  return out;
}
/// Lane 0's.
template <class T>
T run_one(const std::string& body) {
  return run_lanes<T>(body).at(0);
}
/// What a body that is refused says.
inline std::string refusal(const std::string& body, const std::string& before = "") {
  try {
    OneWarp().run(kernel_text(body, before));
  } catch (const Fault& fault) {
    return fault.what;
  }
  return "it was accepted";
}

}  // namespace cudasim::ptx
