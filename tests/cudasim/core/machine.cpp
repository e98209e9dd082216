#include "tests/cudasim/core/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>

namespace cudasim {

namespace {

constexpr u32 kFirstStreamId = 7;  ///< what CUPTI calls the default stream of the first context
constexpr auto kHelpAfter = std::chrono::milliseconds(20);

}  // namespace

u64 now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000ull + static_cast<u64>(now.tv_nsec);
}

int& current_device() {
  static thread_local int device = 0;
  return device;
}

u64& current_correlation() {
  static thread_local u64 correlation = 0;
  return correlation;
}

cudaError_t& last_error() {
  static thread_local cudaError_t error = cudaSuccess;
  return error;
}

Machine& machine() {
  static Machine* const made = [] {
    auto* fresh = new Machine(settings_from_environment());  // outlives every thread that may still wait in it
    std::atexit([] { machine().reports.finish(); });
    return fresh;
  }();
  // What the driver does when it starts. Whoever is injected calls back into here.
  static std::atomic_flag injected = ATOMIC_FLAG_INIT;
  if (!injected.test_and_set()) inject_library();
  return *made;
}

void join(Clock& clock, const Clock& other) {
  if (clock.size() < other.size()) clock.resize(other.size());
  for (size_t i = 0; i < other.size(); ++i) clock[i] = std::max(clock[i], other[i]);
}

Machine::Machine(const Settings& wanted)
    : settings(wanted),
      reports(wanted.keep_exit_code),
      memory(settings, reports),
      sticky_(static_cast<size_t>(wanted.devices)),
      order_(memory, reports),
      random_(wanted.seed) {
  for (int device = 0; device < settings.devices; ++device) create_stream(device, true, 0)->is_default = true;
}

Stream* Machine::create_stream(int device, bool blocking, int priority) {
  std::lock_guard lock(mutex_);
  auto stream = std::make_unique<Stream>();
  stream->device = device;
  stream->component = static_cast<u32>(streams_.size());
  stream->id = kFirstStreamId + stream->component;
  stream->blocking = blocking;
  stream->priority = priority;
  if (helpers_.empty() && streams_.size() >= static_cast<size_t>(settings.devices)) {
    for (int i = 0; i < (settings.schedule == Schedule::kThreads ? 2 : 1); ++i)
      helpers_.emplace_back([this] { help(); }).detach();
  }
  streams_.push_back(std::move(stream));
  return streams_.back().get();
}

void Machine::destroy_stream(Stream* stream) {
  std::lock_guard lock(mutex_);
  stream->destroyed = true;  // what is in it still runs
}

Stream* Machine::stream(cudaStream_t handle, int device) {
  std::lock_guard lock(mutex_);
  if (handle == nullptr || handle == cudaStreamLegacy) return streams_[static_cast<size_t>(device)].get();
  for (const auto& stream : streams_) {
    if (reinterpret_cast<Stream*>(handle) == stream.get()) return stream->destroyed ? nullptr : stream.get();
  }
  return nullptr;
}

std::vector<Stream*> Machine::streams_of(int device) {
  std::lock_guard lock(mutex_);
  std::vector<Stream*> out;
  for (const auto& stream : streams_) {
    if (stream->device == device) out.push_back(stream.get());
  }
  return out;
}

OperationPtr Machine::launch(Stream* stream, OperationKind kind, std::string name, Run run,
                             const std::function<void(Operation&)>& describe) {
  CallInfo info{.name = "cuLaunchKernel", .versioned = "cuLaunchKernel", .by_library = true};
  info.correlation = next_correlation();
  const u64 outer = std::exchange(current_correlation(), info.correlation);
  info.start_ns = now_ns();
  Observer* const watching = observer;
  if (watching != nullptr) watching->called(info);
  try {
    const OperationPtr made = enqueue(stream, kind, std::move(name), std::move(run), describe);
    info.end_ns = now_ns();
    if (watching != nullptr) watching->called(info);
    current_correlation() = outer;
    return made;
  } catch (const Refused&) {
    current_correlation() = outer;
    throw;
  }
}

OperationPtr Machine::enqueue(Stream* stream, OperationKind kind, std::string name, Run run,
                              const std::function<void(Operation&)>& describe, const std::vector<OperationPtr>& after) {
  auto made = std::make_shared<Operation>();
  made->correlation = current_correlation();
  made->device = stream->device;
  made->stream = stream;
  made->kind = kind;
  made->name = std::move(name);
  made->run = std::move(run);
  made->enqueued_ns = now_ns();
  made->component = stream->component;
  if (describe) describe(*made);
  if (captures.take(*stream, made)) return nullptr;

  std::unique_lock lock(mutex_);
  made->id = ++operations_;
  made->clock = host_clock_;
  made->clock.resize(std::max(made->clock.size(), streams_.size()));
  const auto order_after = [&](const OperationPtr& earlier) {
    if (!earlier) return;
    join(made->clock, earlier->clock);
    if (!earlier->done) made->after.push_back(earlier);
  };
  for (const OperationPtr& earlier : after) order_after(earlier);
  order_after(stream->last);
  if (stream->is_default) {
    for (const auto& other : streams_) {
      if (other->device == stream->device && other->blocking) order_after(other->last);
    }
  } else if (stream->blocking) {
    order_after(streams_[static_cast<size_t>(stream->device)]->last);
  }
  ++made->clock[made->component];
  stream->last = made;
  stream->queue.push_back(made);
  changed_.notify_all();
  if (settings.schedule == Schedule::kEager) {
    while (!made->done && run_one(lock)) {
    }
  }
  return made;
}

/// One of the operations that could run now, drawn at random.
OperationPtr Machine::choose(const std::vector<const Operation*>& tried) {
  std::vector<OperationPtr> ready;
  for (const auto& stream : streams_) {
    if (stream->queue.empty() || stream->queue.front()->running) continue;
    Operation& first = *stream->queue.front();
    std::erase_if(first.after, [](const OperationPtr& earlier) { return earlier->done; });
    const bool again = std::find(tried.begin(), tried.end(), &first) != tried.end();
    if (first.after.empty() && !again) ready.push_back(stream->queue.front());
  }
  return ready.empty() ? nullptr : ready[random_() % ready.size()];
}

/// Runs operations until one is finished; false where none could be. The lock is not held meanwhile.
bool Machine::run_one(std::unique_lock<std::mutex>& lock) {
  std::vector<const Operation*> tried;
  while (OperationPtr operation = choose(tried)) {
    operation->running = true;
    lock.unlock();
    const bool finished = execute(*operation);
    lock.lock();
    if (!finished) {
      operation->running = false;
      tried.push_back(operation.get());
      continue;
    }
    check_order(operation);
    lock.unlock();
    operation->end_ns = std::max(now_ns(), operation->start_ns + 1);
    operation->run = nullptr;
    if (Observer* watching = observer) watching->finished(*operation);
    lock.lock();
    operation->stream->queue.pop_front();
    operation->done = true;
    ++progress_;
    changed_.notify_all();
    return true;
  }
  return false;
}

bool Machine::execute(Operation& operation) {
  if (operation.start_ns == 0) operation.start_ns = now_ns();
  if (sticky(operation.device) != cudaSuccess || !operation.run) return true;
  try {
    return operation.run(operation);
  } catch (const Fault& fault) {
    reports.add(fault.what);
    set_sticky(operation.device, fault.code);
    return true;
  }
}

void Machine::check_order(const OperationPtr& operation) {
  if ((settings.checks & kCheckStreamRace) == 0) return;
  std::vector<Stream*> all;
  for (const auto& stream : streams_) all.push_back(stream.get());
  order_.finished(operation, all, host_clock_);
}

cudaError_t Machine::allocate(MemoryKind kind, int device, u64 bytes, const std::string& call, void** out) {
  const cudaError_t code = memory.allocate(kind, device, bytes, call, out);
  Observer* const watching = observer;
  if (watching != nullptr && code == cudaSuccess) {
    watching->memory({true, kind, reinterpret_cast<u64>(*out), bytes, current_correlation(), device});
  }
  return code;
}

cudaError_t Machine::release(void* pointer, bool host, const std::string& call) {
  const Allocation* found = memory.find(reinterpret_cast<u64>(pointer));
  const u64 bytes = found != nullptr ? found->size : 0;
  const cudaError_t code = memory.release(pointer, host, call);
  Observer* const watching = observer;
  if (watching != nullptr && code == cudaSuccess && found != nullptr) {
    watching->memory({false, found->kind, reinterpret_cast<u64>(pointer), bytes, current_correlation(), found->device});
  }
  return code;
}

void Machine::wait(const OperationPtr& operation) {
  if (!operation) return;
  std::unique_lock lock(mutex_);
  const u64 limit = now_ns() + static_cast<u64>(settings.hang_seconds) * 1'000'000'000ull;
  while (!operation->done) {
    if (run_one(lock)) continue;
    changed_.wait_for(lock, std::chrono::microseconds(200));
    if (now_ns() > limit) {
      reports.add(fmt::format("hang: '{}' on stream {} of device {} did not finish in {} s", operation->name,
                              operation->stream->id, operation->device, settings.hang_seconds));
      std::abort();
    }
  }
  join(host_clock_, operation->clock);
}

void Machine::wait_device(int device) {
  std::vector<OperationPtr> last;
  for (const Stream* stream : streams_of(device)) last.push_back(last_of(stream));
  for (const OperationPtr& operation : last) wait(operation);
}

bool Machine::has_run(const OperationPtr& operation) {
  std::lock_guard lock(mutex_);
  return operation->done;
}

OperationPtr Machine::last_of(const Stream* stream) {
  std::lock_guard lock(mutex_);
  return stream->last;
}

void Machine::set_seed(unsigned seed) {
  std::lock_guard lock(mutex_);
  random_.seed(seed);
}

bool Machine::is_done(const OperationPtr& operation) {
  if (!operation) return true;
  std::unique_lock lock(mutex_);
  if (!operation->done) run_one(lock);
  if (operation->done) join(host_clock_, operation->clock);
  return operation->done;
}

/// A thread of ours: takes part always (kThreads), or only when nothing has run for a while though something could.
void Machine::help() {
  std::unique_lock lock(mutex_);
  const bool always = settings.schedule == Schedule::kThreads;
  for (u64 seen = progress_;; seen = progress_) {
    const auto until = std::chrono::steady_clock::now() + kHelpAfter;
    while (!always && changed_.wait_until(lock, until) != std::cv_status::timeout) {
    }
    if (always) changed_.wait_for(lock, kHelpAfter);
    if (always || progress_ == seen) {
      while (run_one(lock) && always) {
      }
    }
  }
}

int Machine::injected(const char* call) {
  const auto wanted = settings.fail.find(call);
  if (wanted == settings.fail.end()) return 0;
  std::lock_guard lock(mutex_);
  auto counted = std::find_if(calls_.begin(), calls_.end(), [&](const auto& entry) { return entry.first == call; });
  if (counted == calls_.end()) counted = calls_.insert(calls_.end(), {call, 0});
  const auto found = wanted->second.find(++counted->second);
  return found == wanted->second.end() ? 0 : found->second;
}

unsigned Machine::draw() {
  std::lock_guard lock(mutex_);
  return random_();
}

void Machine::forget() {
  for (int device = 0; device < settings.devices; ++device) wait_device(device);
  std::lock_guard lock(mutex_);
  reports.clear();
  for (auto& code : sticky_) code = cudaSuccess;
  order_.clear();
  last_error() = cudaSuccess;
}

}  // namespace cudasim
