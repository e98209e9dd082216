#pragma once
// Measures this machine: every curve of a Machine, by running one-op programs on the backend that trains. Under a
// minute on two cores.
//
//   Machine machine = calibrate([](int, int threads) { return make_cpu_backend(threads); }, {.progress = print});

#include <functional>
#include <string>

#include "core/engine/trainer.h"
#include "simulator/machine.h"

namespace shardscope {

/// Of this machine, as its system names it: "AMD EPYC 9B45"; "unknown processor" where it does not.
std::string processor_name();

struct CalibrateOptions {
  int cores = 0;                                     ///< 0: all of this machine
  std::string nvme_folder;                           ///< on the drive that swap files will lie on; empty: guesses
  double detail = 1;                                 ///< share of the shapes measured, for tests; 1: all
  std::function<void(const std::string&)> progress;  ///< a line of text at each stage
};

/// All curves, measured with every core busy: T threads per rank means cores / T ranks that run the op at once, as they
/// do in training. Collectives among 2, 3 and 4 ranks (8 and more where there are the cores).
/// Throws what the backend throws.
Machine calibrate(const BackendFactory& make_backend, const CalibrateOptions& options = {});

}  // namespace shardscope
