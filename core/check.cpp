#include "core/check.h"

#include <cstdio>
#include <cstdlib>

namespace shardscope {

void check_failed(const char* condition, const char* file, int line, const std::string& values) {
  std::fprintf(stderr, "shardscope: bug: %s:%d: %s is false;%s\n", file, line, condition, values.c_str());
  std::abort();
}

}  // namespace shardscope
