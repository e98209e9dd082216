#include "tests/cudasim/runtime/fatbin.h"

#include <cstdlib>
#include <cstring>

#include "tests/cudasim/runtime/call.h"

namespace cudasim {

namespace {

constexpr int kComputeCapability = 90;  ///< of the emulated device

// The layout that nvcc writes; not documented, stable since CUDA 4.
struct Wrapper {
  u32 magic, version;
  const u8* data;
  const void* unused;
};
constexpr u32 kFatMagic = 0xBA55ED50;
struct FatHeader {
  u32 magic;
  u16 version, header_bytes;
  u64 bytes;
};
struct EntryHeader {
  u16 kind, version;
  u32 header_bytes;
  u64 bytes;
};
constexpr u16 kKindPtx = 1;

/// ".target sm_90" -> 90; 0 where there is none.
int target_of(const std::string& ptx) {
  const size_t at = ptx.find(".target sm_");
  return at == std::string::npos ? 0 : std::atoi(ptx.c_str() + at + 11);
}

/// The newest PTX that the device can run. `why_not` says why there is none.
std::string find_ptx(const u8* data, std::string& why_not) {
  FatHeader header;
  std::memcpy(&header, data, sizeof header);
  if (header.magic != kFatMagic) {
    why_not = "the fat binary begins with an unknown number";
    return "";
  }
  std::string best;
  why_not = "the fat binary holds no PTX; build with code=compute_90";
  const u8* const end = data + header.header_bytes + header.bytes;
  for (const u8* at = data + header.header_bytes; at < end;) {
    EntryHeader entry;
    std::memcpy(&entry, at, sizeof entry);
    if (entry.kind == kKindPtx) {
      const char* text = reinterpret_cast<const char*>(at + entry.header_bytes);
      const std::string ptx(text, strnlen(text, entry.bytes));
      const int target = target_of(ptx);
      if (target == 0) why_not = "the PTX in the fat binary is compressed; build with nvcc --no-compress";
      if (target > target_of(best) && target <= kComputeCapability) best = ptx;
    }
    at += entry.header_bytes + entry.bytes;
  }
  return best;
}

}  // namespace

Programs& programs() {
  static Programs* const made = new Programs;  // used by destructors of static objects, too
  return *made;
}

void** Programs::add(const void* wrapper) {
  std::lock_guard lock(mutex_);
  auto program = std::make_unique<Program>();
  program->ptx = find_ptx(static_cast<const Wrapper*>(wrapper)->data, program->why_not);
  programs_.push_back(std::move(program));
  return reinterpret_cast<void**>(programs_.back().get());
}

void Programs::add_function(void** handle, const void* host, const std::string& name) {
  std::lock_guard lock(mutex_);
  functions_[host] = {reinterpret_cast<Program*>(handle), name, {}};
}

void Programs::add_variable(void** handle, const void* host, const std::string& name) {
  std::lock_guard lock(mutex_);
  variables_[host] = {reinterpret_cast<Program*>(handle), name, {}};
}

ptx::Module& Programs::module(Program& program, int device) {
  if (program.ptx.empty()) throw Fault{cudaErrorNoKernelImageForDevice, program.why_not};
  std::unique_ptr<ptx::Module>& module = program.modules[device];
  if (!module) module = std::make_unique<ptx::Module>(program.ptx, machine(), device);
  return *module;
}

Programs::Entry& Programs::entry(const void* host) {
  const auto found = functions_.find(host);
  if (found == functions_.end())
    throw Fault{cudaErrorInvalidDeviceFunction, "no kernel is registered for this function"};
  return found->second;
}

const ptx::Kernel& Programs::kernel(const void* host, int device) {
  std::lock_guard lock(mutex_);
  Entry& found = entry(host);
  const ptx::Kernel*& kernel = found.kernels[device];
  if (kernel == nullptr) kernel = &module(*found.program, device).kernel(found.name);
  return *kernel;
}

std::string Programs::name(const void* host) {
  std::lock_guard lock(mutex_);
  return entry(host).name;
}

ptx::Variable Programs::variable(const void* host, int device) {
  std::lock_guard lock(mutex_);
  const auto found = variables_.find(host);
  if (found == variables_.end()) throw Fault{cudaErrorInvalidSymbol, "no variable is registered for this symbol"};
  const auto& variables = module(*found->second.program, device).variables();
  const auto variable = variables.find(found->second.name);
  if (variable == variables.end()) throw Fault{cudaErrorInvalidSymbol, "the PTX has no variable " + found->second.name};
  return variable->second;
}

u32 Programs::most_dynamic_shared(const void* host) {
  std::lock_guard lock(mutex_);
  return entry(host).most_dynamic_shared;
}

void Programs::set_most_dynamic_shared(const void* host, u32 bytes) {
  std::lock_guard lock(mutex_);
  entry(host).most_dynamic_shared = bytes;
}

}  // namespace cudasim

// What nvcc's generated host code calls before main.

using cudasim::programs;

CUDASIM_API void** __cudaRegisterFatBinary(void* wrapper) { return programs().add(wrapper); }
CUDASIM_API void __cudaRegisterFatBinaryEnd(void**) {}
CUDASIM_API void __cudaUnregisterFatBinary(void**) {}
CUDASIM_API void __cudaRegisterFunction(void** handle, const char* host, char*, const char* name, int, uint3*, uint3*,
                                        dim3*, dim3*, int*) {
  programs().add_function(handle, host, name);
}
CUDASIM_API void __cudaRegisterVar(void** handle, char* host, char*, const char* name, int, size_t, int, int) {
  programs().add_variable(handle, host, name);
}
CUDASIM_API char __cudaInitModule(void**) { return 0; }
