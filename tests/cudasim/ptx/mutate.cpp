#include "tests/cudasim/ptx/mutate.h"

#include <cstdio>
#include <cstdlib>
#include <regex>

#include "tests/cudasim/core/report.h"

namespace cudasim::ptx {

namespace {

struct Kind {
  const char *name, *pattern, *replacement;  ///< of a statement; the pattern may begin after a predicate
};

// The element of a shifted store is that of its type: 4 bytes fit most, 2 and 1 are shifted further than one.
constexpr Kind kKinds[] = {
    {"barrier", R"(^(@\S+ )?bar(rier)?\.sync.*$)", ""},
    {"syncwarp", R"(^(@\S+ )?bar\.warp\.sync.*$)", ""},
    {"bound", R"(\bsetp\.(lt|ge)\.([su](32|64))\b)", "setp.$1x.$2"},
    {"atomic", R"(\b(atom|red)(\.global|\.shared)?\.add\.(f32|u32|s32)\b)", "$1$2.exch.$3"},
    {"lane", R"(\bshfl\.sync\.bfly\b)", "shfl.sync.up"},
    {"product", R"(\bmul(\.rn)?\.f32\b)", "add$1.f32"},
    {"store", R"(^(@\S+ )?st\.global.*$)", ""},
    {"shift", R"(\b(st\.global\S* +\[[^\]+]*)(\+\d+)?\])", "$1+16]"},
    {"sign", R"(\badd(\.rn)?\.f32\b)", "sub$1.f32"},
    {"wait", R"(^(@\S+ )?cp\.async\.wait.*$)", ""},
    {"init", R"(\bmov\.(f32|b32) (%f\d+|%r\d+), (0f00000000|0)$)", "mov.$1 $2, 0f3F800000"},
    {"max", R"(\bmax\.)", "min."},
};

}  // namespace

std::string mutated(const std::string& kind, const std::string& statement, bool& fits) {
  for (const Kind& known : kKinds) {
    if (kind != known.name) continue;
    const std::regex pattern(known.pattern);
    fits = std::regex_search(statement, pattern);
    if (!fits) return statement;
    std::string out = std::regex_replace(statement, pattern, known.replacement);
    for (const auto& [from, to] : {std::pair{"setp.ltx.", "setp.le."}, {"setp.gex.", "setp.gt."}}) {
      if (const size_t at = out.find(from); at != std::string::npos) out.replace(at, std::string(from).size(), to);
    }
    return out;
  }
  throw Fault{cudaErrorInvalidValue, "CUDASIM_MUTATE: no kind " + kind};
}

Mutation::Mutation(const std::string& kernel) {
  const char* text = std::getenv("CUDASIM_MUTATE");
  if (text == nullptr) return;
  const std::string wanted = text;
  const size_t second = wanted.rfind(':');  // the kernel's name may have colons
  const size_t first = second == std::string::npos ? second : wanted.rfind(':', second - 1);
  if (first == std::string::npos) throw Fault{cudaErrorInvalidValue, "CUDASIM_MUTATE is KERNEL:KIND:N"};
  if (kernel.find(wanted.substr(0, first)) == std::string::npos) return;
  kind_ = wanted.substr(first + 1, second - first - 1);
  wanted_ = std::atoi(wanted.c_str() + second + 1);
}

std::string Mutation::apply(const std::string& statement) {
  if (kind_.empty()) return statement;
  bool fits = false;
  std::string other = mutated(kind_, statement, fits);
  if (!fits || ++seen_ != wanted_) return statement;
  std::fprintf(stderr, "[cudasim] mutated: '%s' is '%s'\n", statement.c_str(), other.c_str());
  return other;
}

}  // namespace cudasim::ptx
