#pragma once
// Turns what the machine says into CUPTI's activity records, in the layouts of the toolkit's headers, and into the
// calls of a subscriber. One for the process, made when CUPTI is first asked for anything.
//
//   recorder().enable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, true);

#include <cupti.h>

#include <map>
#include <set>
#include <string>

#include "tests/cudasim/core/machine.h"
#include "tests/cudasim/cupti/buffers.h"

namespace cudasim {

class Recorder final : public Observer {
 public:
  explicit Recorder(Machine& machine);

  void enable(CUpti_ActivityKind kind, bool on);
  void enable_call(bool driver, u32 id, bool on);
  CUptiResult subscribe(CUpti_CallbackFunc callback, void* data);
  void unsubscribe();
  void enable_callback(CUpti_CallbackDomain domain, u32 id, bool on);  ///< id 0: the whole domain
  void use_system_threads(bool system) { system_threads_ = system; }
  const char* call_name(CUpti_CallbackDomain domain, u32 id);
  Buffers buffers;

  void called(const CallInfo& call) override;
  void finished(const Operation& operation) override;
  void waited(const WaitInfo& wait) override;
  void memory(const MemoryInfo& change) override;

 private:
  template <class Record>
  void put(const Record& record);
  bool is_on(CUpti_ActivityKind kind);
  const char* keep_text(const std::string& text);
  void put_device(int device);
  void put_kernel(const Operation& op);
  void put_copy(const Operation& op);
  void put_graph(const Operation& end);
  void put_external(u64 correlation);
  void put_call(const CallInfo& call);
  void tell_subscriber(const CallInfo& call);
  u32 thread() const;

  Machine& machine_;
  std::mutex mutex_;
  std::set<int> on_;
  std::set<std::pair<bool, u32>> calls_off_;
  std::set<std::pair<int, u32>> callbacks_;
  std::map<u32, const char*> names_;
  std::set<std::string> texts_;  ///< of kernels: records point at them
  CUpti_CallbackFunc callback_ = nullptr;
  void* callback_data_ = nullptr;
  std::atomic<bool> system_threads_ = false;
};

Recorder& recorder();

/// This thread's external correlation ids, by kind.
std::map<int, std::vector<u64>>& external_ids();

/// Bytes from the start of a record to that of the next; 0: not a kind that is written here.
size_t stride_of(CUpti_ActivityKind kind);

}  // namespace cudasim
