#pragma once
// What every backend must do: one op at a time, compared with plain double-precision arithmetic. A backend's own test
// passes itself in; nothing here knows which one it is.
//
//   const ConformanceResult result = run_conformance(*make_cpu_backend(2));
//   EXPECT_THAT(result.faults, IsEmpty());

#include <string>
#include <vector>

#include "kernels/conformance/case.h"

namespace shardscope {

struct ConformanceResult {
  int ran = 0;
  std::vector<std::string> skipped;  ///< cases the backend does not support
  std::vector<std::string> faults;   ///< one sentence each: case, operand, element, got and wanted
};

/// Runs the case on the compute lane, its operands in device memory at odd places. Faults: a wrong element; any change
/// to an operand that is only read, or to memory beside an operand.
std::vector<std::string> run_case(Backend& backend, const ConformanceCase& test);

/// Runs all cases, or those whose name starts with `prefix`.
ConformanceResult run_conformance(Backend& backend, const std::string& prefix = "");

/// The table: for each op all its modes, over sizes of one, of primes, and around vector and block sizes.
std::vector<ConformanceCase> conformance_cases();

/// Parts of the table, one per family of ops.
void add_elementwise_cases(std::vector<ConformanceCase>& cases);
void add_copy_cases(std::vector<ConformanceCase>& cases);
void add_matmul_cases(std::vector<ConformanceCase>& cases);
void add_embedding_cases(std::vector<ConformanceCase>& cases);
void add_norm_cases(std::vector<ConformanceCase>& cases);
void add_activation_cases(std::vector<ConformanceCase>& cases);
void add_attention_cases(std::vector<ConformanceCase>& cases);
void add_loss_cases(std::vector<ConformanceCase>& cases);
void add_inference_cases(std::vector<ConformanceCase>& cases);
void add_sharded_cases(std::vector<ConformanceCase>& cases);
void add_quantize_cases(std::vector<ConformanceCase>& cases);
void add_expert_cases(std::vector<ConformanceCase>& cases);
void add_optimizer_cases(std::vector<ConformanceCase>& cases);

}  // namespace shardscope
