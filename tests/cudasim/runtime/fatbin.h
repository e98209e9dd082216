#pragma once
// The PTX inside of the fat binaries that nvcc embeds, and which host function stands for which kernel.
//
//   const ptx::Kernel& kernel = programs().kernel(host_function, device);

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cudasim/ptx/module.h"

namespace cudasim {

class Programs {
 public:
  /// A handle for the other calls.
  void** add(const void* wrapper);
  void add_function(void** handle, const void* host, const std::string& name);
  void add_variable(void** handle, const void* host, const std::string& name);

  /// Throws Fault: not registered, no PTX for this device, or PTX that is not implemented.
  const ptx::Kernel& kernel(const void* host, int device);
  ptx::Variable variable(const void* host, int device);
  std::string name(const void* host);

  u32 most_dynamic_shared(const void* host);
  void set_most_dynamic_shared(const void* host, u32 bytes);

 private:
  struct Program {
    std::string ptx, why_not;
    std::map<int, std::unique_ptr<ptx::Module>> modules;  ///< by device
  };
  struct Entry {
    Program* program;
    std::string name;
    std::map<int, const ptx::Kernel*> kernels;  ///< by device
    u32 most_dynamic_shared = 48 * 1024;
  };
  ptx::Module& module(Program& program, int device);
  Entry& entry(const void* host);

  std::mutex mutex_;
  std::vector<std::unique_ptr<Program>> programs_;
  std::map<const void*, Entry> functions_, variables_;
};

Programs& programs();

}  // namespace cudasim
