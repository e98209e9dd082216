#include "tests/cudasim/core/report.h"

#include <cxxabi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace cudasim {

namespace {

constexpr size_t kMostPrinted = 50;  ///< the rest is only counted

}  // namespace

std::string readable(const std::string& mangled) {
  int status = 0;
  char* const text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  if (text == nullptr) return mangled;
  std::string out = text;
  std::free(text);
  const std::string anonymous = "(anonymous namespace)::";
  for (size_t at = out.find(anonymous); at != std::string::npos; at = out.find(anonymous))
    out.erase(at, anonymous.size());
  if (out.starts_with("void ")) out.erase(0, 5);
  return out.substr(0, out.find('('));
}

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
