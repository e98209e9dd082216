#include "tests/cudasim/core/report.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace cudasim {

namespace {

constexpr size_t kMostPrinted = 50;  ///< the rest is only counted

}  // namespace

void Reports::add(const std::string& line) {
  std::lock_guard lock(mutex_);
  lines_.push_back(line);
  if (lines_.size() <= kMostPrinted) std::fprintf(stderr, "[cudasim] %s\n", line.c_str());
}

int Reports::count() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(lines_.size());
}

std::string Reports::text(int index) const {
  std::lock_guard lock(mutex_);
  return index >= 0 && index < static_cast<int>(lines_.size()) ? lines_[static_cast<size_t>(index)] : "";
}

void Reports::clear() {
  std::lock_guard lock(mutex_);
  lines_.clear();
}

void Reports::finish() const {
  const int found = count();
  if (found == 0 || keep_exit_code_) return;
  std::fprintf(stderr, "[cudasim] %d report(s); first: %s\n", found, text(0).c_str());
  std::fflush(nullptr);
  _exit(kExitReported);
}

}  // namespace cudasim
