// The shared conformance suite on GPU 0, real or emulated (tests/cudasim/run): `cuda_conformance_check [PREFIX...]`.
// Exit status 0 if every case holds, 1 if not, 77 (skipped) where there is no GPU.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/conformance/conformance.h"
#include "kernels/cuda/cuda_backend.h"

int main(int argc, char** argv) {
  using namespace shardscope;
  try {
    (void)cuda_devices();
  } catch (const Error& error) {
    fmt::print("SKIPPED: {}\n", error.what());
    return 77;
  }
  try {
    const auto backend = make_cuda_backend({});
    ConformanceResult result;
    const std::vector<std::string> prefixes(argv + std::min(argc, 1), argv + argc);
    for (const std::string& prefix : prefixes.empty() ? std::vector<std::string>{""} : prefixes) {
      const ConformanceResult part = run_conformance(*backend, prefix);
      result.ran += part.ran;
      result.faults.insert(result.faults.end(), part.faults.begin(), part.faults.end());
      result.skipped.insert(result.skipped.end(), part.skipped.begin(), part.skipped.end());
    }
    for (const std::string& fault : result.faults) fmt::print("FAULT {}\n", fault);
    for (const std::string& skipped : result.skipped) fmt::print("not run: {}\n", skipped);
    fmt::print("{} cases ran on {}, {} faults, {} not supported\n", result.ran, cuda_devices().front().name,
               result.faults.size(), result.skipped.size());
    return result.faults.empty() && result.ran > 0 ? 0 : 1;
  } catch (const Error& error) {
    fmt::print("FAULT {}\n", error.what());
    return 1;
  }
}
