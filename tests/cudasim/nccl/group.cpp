#include "tests/cudasim/nccl/group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <thread>
#include <utility>

namespace cudasim {

namespace {

constexpr u64 kJoinNs = 60'000'000'000;

/// CUDASIM_NCCL_SLOW=rank:milliseconds: that rank comes so much later to each collective.
u64 delay_of(int rank) {
  const char* text = std::getenv("CUDASIM_NCCL_SLOW");
  if (text == nullptr || std::atoi(text) != rank) return 0;
  const char* colon = std::strchr(text, ':');
  return colon == nullptr ? 0 : static_cast<u64>(std::atoi(colon + 1)) * 1'000'000;
}

/// As libnccl names its kernels.
std::string kernel_name(const Called& called) {
  static constexpr const char* kReductions[] = {"Sum", "Prod", "MinMax", "MinMax", "Sum"};
  static constexpr const char* kTypes[] = {"i8",  "u8",  "u32", "u32",  "u64",    "u64",
                                           "f16", "f32", "f64", "bf16", "f8e4m3", "f8e5m2"};
  const bool reduces = called.what == kAllReduce || called.what == kReduceScatter || called.what == kReduce;
  const std::string kind = reduces ? fmt::format("{}_{}_", kReductions[called.reduction], kTypes[called.type]) : "";
  return fmt::format("ncclDevKernel_{}_{}RING_LL(ncclDevKernelArgsStorage<4096ul>)", name_of(called.what), kind);
}

void describe_kernel(Operation& op) {
  op.kernel.grid = dim3(2);
  op.kernel.block = dim3(544);
  op.kernel.registers = 96;
}

}  // namespace

Group& this_threads_group() {
  static thread_local Group group;
  return group;
}

ncclResult_t wait_joined(Comm& comm) {
  if (!comm.blocking) return comm.ready() ? ncclSuccess : comm.error() != ncclSuccess ? comm.error() : ncclInProgress;
  for (const u64 limit = now_ns() + kJoinNs; !comm.ready() && comm.error() == ncclSuccess; usleep(50)) {
    if (now_ns() > limit) comm.fail(ncclSystemError, "not all ranks joined within a minute");
  }
  return comm.error();
}

ncclResult_t Group::add(GroupedCall call) {
  calls_.push_back(std::move(call));
  return depth > 0 ? ncclSuccess : flush();
}

ncclResult_t Group::end() {
  if (depth == 0) return ncclInvalidUsage;
  return --depth > 0 ? ncclSuccess : flush();
}

ncclResult_t Group::flush() {
  ncclResult_t result = ncclSuccess;
  const auto note = [&](ncclResult_t code) {
    if (result == ncclSuccess || result == ncclInProgress) result = code == ncclSuccess ? result : code;
  };
  for (const auto& comm : std::exchange(joining, {})) note(wait_joined(*comm));
  const std::vector<GroupedCall> calls = std::exchange(calls_, {});
  bool blocking = true;
  for (const GroupedCall& call : calls) {
    if (call.comm->blocking) continue;
    blocking = false;
    call.comm->pending = 1;
    note(ncclInProgress);
  }
  if (blocking) {
    enqueue(calls);
  } else {  // as libnccl does, so that what it launches is launched on no thread of the program's
    std::exception_ptr fault;
    std::thread([&] {
      try {
        enqueue(calls);
      } catch (...) {
        fault = std::current_exception();
      }
    }).join();
    if (fault) std::rethrow_exception(fault);
  }
  return result;
}

void Group::enqueue(const std::vector<GroupedCall>& all) {
  std::map<Stream*, std::vector<GroupedCall>> messages;
  for (const GroupedCall& call : all) {
    if (call.called.what == kSendRecv) {
      messages[call.stream].push_back(call);
    } else {
      enqueue_collective(call);
    }
  }
  for (const auto& [stream, calls] : messages) enqueue_messages(stream, calls);
}

void Group::enqueue_collective(const GroupedCall& call) {
  const auto comm = call.comm;
  auto under_way = std::make_shared<Collective>();
  under_way->called = call.called;
  under_way->send = call.send;
  under_way->receive = call.receive;
  under_way->first_token = comm->token + 1;
  comm->token += chunks_of(*comm, call.called);
  under_way->profiled =
      comm->profiler.called({name_of(call.called.what), name_of_type(call.called.type), call.send, call.receive,
                             call.called.count, call.called.root, call.stream, comm->sequence++, false});
  const u64 delay = delay_of(comm->rank);
  comm->enqueued(machine().launch(
      call.stream, OperationKind::kCollective, kernel_name(call.called),
      [comm, under_way, delay](Operation& op) {
        if (delay > 0 && under_way->not_before_ns == 0) under_way->not_before_ns = now_ns() + delay;
        return poll(*comm, *under_way, op);
      },
      describe_kernel));
}

void Group::enqueue_messages(Stream* stream, const std::vector<GroupedCall>& calls) {
  auto messages = std::make_shared<std::vector<Message>>();
  for (const GroupedCall& call : calls) {
    Message message{call.comm,
                    call.sends,
                    static_cast<u8*>(call.sends ? const_cast<void*>(call.send) : call.receive),
                    call.called.count * bytes_of_type(call.called.type),
                    call.called.root,
                    0,
                    nullptr,
                    {}};
    message.profiled =
        call.comm->profiler.called({call.sends ? "Send" : "Recv", name_of_type(call.called.type), call.send,
                                    message.data, call.called.count, call.called.root, stream, 0, true});
    messages->push_back(std::move(message));
  }
  const OperationPtr operation = machine().launch(
      stream, OperationKind::kCollective, "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)",
      [messages](Operation& op) { return poll(*messages, op); }, describe_kernel);
  for (const GroupedCall& call : calls) call.comm->enqueued(operation);
}

}  // namespace cudasim
