#pragma once
// One fat binary's PTX on one device: its variables, placed in the device's memory, and its kernels, decoded when they
// are first launched. Whatever it does not understand is a Fault that quotes it.
//
//   Module module(text, machine, device);
//   const Kernel& kernel = module.kernel("_Z3addPf");

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cudasim/core/machine.h"
#include "tests/cudasim/ptx/inst.h"

namespace cudasim::ptx {

/// A kernel or device function as text.
struct Function {
  std::string name;
  std::vector<std::string> params, results;  ///< their declarations
  std::string body;                          ///< between the braces
  bool is_entry = false;
};

struct Variable {
  u64 address, bytes;
};

class Module {
 public:
  Module(const std::string& text, Machine& machine, int device);
  /// Throws Fault where it does not exist or holds something that is not implemented.
  const Kernel& kernel(const std::string& name);
  bool has_kernel(const std::string& name) const;
  const std::map<std::string, Variable>& variables() const { return variables_; }
  const Function* function(const std::string& name) const;
  const std::map<std::string, bool>& dynamic_shared() const { return dynamic_shared_; }  ///< arrays without a size
  const std::map<std::string, u32>& static_shared() const { return static_shared_; }     ///< of module scope: bytes

 private:
  size_t read_function(const std::string& text, size_t from, bool entry);
  void read_variable(const std::string& statement);
  std::vector<u8> initial_bytes(const std::string& value, int element, u64 count) const;

  Machine& machine_;
  int device_;
  std::map<std::string, Variable> variables_;
  std::map<std::string, Function> functions_;
  std::map<std::string, bool> dynamic_shared_;
  std::map<std::string, u32> static_shared_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Kernel>> kernels_;
};

/// Decodes a kernel with the device functions it calls (ptx/body.cpp).
std::unique_ptr<Kernel> decode_kernel(const Module& module, const Function& function);

/// The bits of a literal: 0f3F800000, 0d..., 0x..., decimal.
u64 literal_bits(const std::string& text);

}  // namespace cudasim::ptx
