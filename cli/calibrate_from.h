#pragma once
// `calibrate --from RUN.db`: a machine file fitted to a run that was measured, each fit with what is left.

#include <string>

#include "simulator/machine.h"

namespace shardscope::cli {

struct CalibrateFrom {
  std::string profile, run;  ///< run: name or number; empty: the last that was measured
  std::string base;          ///< machine file of what the run does not show; empty: guesses
  std::string output;
  bool json = false;
};
void calibrate_from(const CalibrateFrom& options);

}  // namespace shardscope::cli
