#pragma once
// Why would a recording here show no kernels, no collectives, no ranges? Looks at this machine, or at a process that
// runs, and says what it found; nothing is changed.
//
//   for (const Finding& finding : examine_machine(library, folder)) print(finding);
//   for (const Finding& finding : examine_process(pid)) print(finding);

#include <cstdint>
#include <string>
#include <vector>

namespace shardscope::capture {

enum class Verdict : std::uint8_t { kGood, kNote, kBad };

struct Finding {
  Verdict verdict;
  std::string what;  ///< "driver", "cupti", "nccl", "nvtx", "spool", ...: one word
  std::string text;  ///< one sentence, with what to do where something can be done
};

/// The driver and its devices, the libcupti and libnccl that a job would load, variables that other tools have set,
/// room for spools in `folder`, and whether the library can be loaded and writes what it is told.
std::vector<Finding> examine_machine(const std::string& library, const std::string& folder);

/// What a process has loaded: CUDA, CUPTI, NCCL, other profilers, our library. Throws Error{kConfig} if there is no
/// such process or it is not ours to look at.
std::vector<Finding> examine_process(int pid);

const char* to_string(Verdict verdict);  ///< "good", "note", "bad"

}  // namespace shardscope::capture
