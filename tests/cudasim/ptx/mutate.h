#pragma once
// One planted change in one kernel, made while it is decoded: what a test of the tests asks for. CUDASIM_MUTATE is
// "KERNEL:KIND:N": in kernels whose readable name contains KERNEL, the N-th statement (from 1) that KIND fits.
//
//   Mutation mutation(kernel_name);              // from the environment
//   const std::string text = mutation.apply(statement);

#include <string>

#include "tests/cudasim/core/types.h"

namespace cudasim::ptx {

class Mutation {
 public:
  explicit Mutation(const std::string& kernel);
  /// The statement, or another in its place; empty: none.
  std::string apply(const std::string& statement);

 private:
  std::string kind_;
  int wanted_ = 0, seen_ = 0;
};

/// Kinds: "barrier" (bar.sync goes), "syncwarp" (so does bar.warp.sync), "bound" (< becomes <=, >= becomes >), "atomic"
/// (an add becomes a store), "lane" (a shuffle among pairs gives its own value), "product" (a product becomes a sum),
/// "store" (a store to device memory goes), "shift" (it lands 16 bytes further), "sign" (+ becomes -), "wait" (a wait
/// for cp.async goes), "init" (the constant 0 of a move becomes 1), "max" (max becomes min).
std::string mutated(const std::string& kind, const std::string& statement, bool& fits);

}  // namespace cudasim::ptx
