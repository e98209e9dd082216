#pragma once
// The emulated devices of this process: their memory, streams, and who runs what when. A C API has process-wide state,
// and this is all of it; everything else is handed around.
//
//   Machine& m = machine();
//   OperationPtr copy = m.enqueue(m.stream(handle), OperationKind::kCopy, "memcpy", run);
//   m.wait(copy);
//
// Operations run on the threads that wait for something (Schedule::kLate), never under the lock, so that several host
// threads run several streams at once; a thread of ours helps where everybody waits for something else.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "tests/cudasim/core/capture.h"
#include "tests/cudasim/core/memory.h"
#include "tests/cudasim/core/operation.h"
#include "tests/cudasim/core/order_check.h"
#include "tests/cudasim/core/report.h"
#include "tests/cudasim/core/settings.h"

namespace cudasim {

/// A call of the runtime, as records tell of it.
struct CallInfo {
  u32 id = 0;                    ///< CUpti_runtime_api_trace_cbid
  const char* name = "";         ///< "cudaMalloc"
  const char* versioned = "";    ///< "cudaMalloc_v3020"
  u64 start_ns = 0, end_ns = 0;  ///< the end is 0 while it runs
  u64 correlation = 0;
  int result = 0;
  bool by_library = false;  ///< of the driver, as cuBLAS and NCCL call it
};
struct WaitInfo {
  int type = 0;  ///< CUpti_ActivitySynchronizationType
  const Stream* stream = nullptr;
  u32 event = 0;
  u64 start_ns = 0, end_ns = 0, correlation = 0;
};
struct MemoryInfo {
  bool allocates = false;
  MemoryKind kind = MemoryKind::kDevice;
  u64 address = 0, bytes = 0, correlation = 0;
  int device = 0;
};

/// Whoever writes records of what happens. Called with no lock held, from any thread.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void called(const CallInfo& call) = 0;  ///< before, and after
  virtual void finished(const Operation& operation) = 0;
  virtual void waited(const WaitInfo& wait) = 0;
  virtual void memory(const MemoryInfo& change) = 0;
};

class Machine {
 public:
  explicit Machine(const Settings& settings);

  Stream* create_stream(int device, bool blocking, int priority);
  void destroy_stream(Stream* stream);
  Stream* stream(cudaStream_t handle, int device);  ///< null where the handle is not known
  std::vector<Stream*> streams_of(int device);

  using Run = std::function<bool(Operation&)>;
  /// Null: the stream captures, and it has become a node of a graph. Throws Refused.
  OperationPtr enqueue(Stream* stream, OperationKind kind, std::string name, Run run,
                       const std::function<void(Operation&)>& describe = {},
                       const std::vector<OperationPtr>& after = {});
  /// The same, as a library launches a kernel of its own: by a call of the driver.
  OperationPtr launch(Stream* stream, OperationKind kind, std::string name, Run run,
                      const std::function<void(Operation&)>& describe);
  void wait(const OperationPtr& operation);
  void wait_device(int device);
  bool is_done(const OperationPtr& operation);  ///< runs something else meanwhile, if anything is ready
  bool has_run(const OperationPtr& operation);  ///< only asks
  OperationPtr last_of(const Stream* stream);
  void notify() { changed_.notify_all(); }  ///< what an operation waits for has come

  /// As Memory's, and the observer is told.
  cudaError_t allocate(MemoryKind kind, int device, u64 bytes, const std::string& call, void** out);
  cudaError_t release(void* pointer, bool host, const std::string& call);

  cudaError_t sticky(int device) const { return sticky_[static_cast<size_t>(device)].load(); }
  void set_sticky(int device, cudaError_t code) { sticky_[static_cast<size_t>(device)].store(code); }
  /// The code that CUDASIM_FAIL wants this call to return now, or 0.
  int injected(const char* call);
  u64 next_correlation() { return ++correlation_; }
  unsigned draw();
  void set_seed(unsigned seed);
  void forget();  ///< reports, sticky errors and the history: for a test that goes on after a planted bug

  Settings settings;
  Reports reports;
  Memory memory;
  Captures captures;
  std::atomic<Observer*> observer = nullptr;

 private:
  bool run_one(std::unique_lock<std::mutex>& lock);
  OperationPtr choose(const std::vector<const Operation*>& tried);
  bool execute(Operation& operation);
  void check_order(const OperationPtr& operation);
  void help();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Stream>> streams_;  ///< the default streams of all devices first
  std::vector<std::atomic<cudaError_t>> sticky_;
  std::vector<std::pair<std::string, int>> calls_;
  OrderCheck order_;
  std::mt19937 random_;
  Clock host_clock_;  ///< what any host thread has waited for; one for all, so threads that order each other are not
                      ///< accused
  u64 operations_ = 0;
  std::atomic<u64> correlation_ = 0;
  u64 progress_ = 0;  ///< operations that ran
  std::vector<std::thread> helpers_;
};

Machine& machine();
void inject_library();  ///< cupti/cupti.cpp
u64 now_ns();
int& current_device();       ///< of this thread
u64& current_correlation();  ///< of the call that this thread is in
cudaError_t& last_error();   ///< of this thread

}  // namespace cudasim
