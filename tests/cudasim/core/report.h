#pragma once
// What the emulation finds wrong with a program. A fault stops the operation and makes its device unusable, as a real
// one is after an illegal address; a finding is reported and the program goes on. Either is a line on stderr, and a
// process that had any ends with kExitReported, whatever it returned.
//
//   throw Fault{cudaErrorIllegalAddress, "kernel k: write of 4 bytes ..."};
//   machine().reports.add("stream race: ...");

#include <driver_types.h>

#include <mutex>
#include <string>
#include <vector>

namespace cudasim {

inline constexpr int kExitReported = 86;

struct Fault {
  cudaError_t code;
  std::string what;
};

/// "shardscope::cuda::scale<float>" of the mangled name; without arguments.
std::string readable(const std::string& mangled);

class Reports {
 public:
  explicit Reports(bool keep_exit_code) : keep_exit_code_(keep_exit_code) {}
  void add(const std::string& line);
  int count() const;
  std::string text(int index) const;  ///< empty where there is none
  void clear();
  /// At the end of the process: says how many lines there were, and makes its exit code kExitReported.
  void finish() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
  bool keep_exit_code_;
};

}  // namespace cudasim
