#pragma once
// A trace as PyTorch's profiler writes it, by hand: what an imported run of known answers is made from. Times in us.
//
//   TraceText rank0(0, 2);
//   rank0.step(1, 0, 1000);
//   rank0.kernel("gemm", 100, 300);                    // launched 20 us before, if not said otherwise
//   rank0.collective("allreduce", 400, 200, 1 << 20);  // on stream 20; numbered by order
//   import_texts(folder, "rank0.json", {rank0.text(), rank1.text()});

#include <fmt/format.h>

#include <string>

namespace shardscope::testing {

class TraceText {
 public:
  TraceText(int rank, int world, int stream = 20) : rank_(rank), world_(world), stream_(stream) {}

  void step(int number, double start, double duration) {
    event("user_annotation", fmt::format("ProfilerStep#{}", number), 1, kThread, start, duration, "{}");
  }
  void range(const std::string& name, double start, double duration) {
    event("user_annotation", name, 1, kThread, start, duration, "{}");
  }
  void call(const std::string& name, double start, double duration) {
    event("cuda_runtime", name, 1, kThread, start, duration, "{}");
  }
  void kernel(const std::string& name, double start, double duration, double launched = -1, int stream = 7) {
    const int id = launch("cudaLaunchKernel", launched < 0 ? start - 20 : launched);
    event("kernel", name, 0, stream, start, duration, fmt::format(R"({{"stream":{},"correlation":{}}})", stream, id));
  }
  void copy(const std::string& name, double start, double duration, long bytes, double launched = -1) {
    const int id = launch("cudaMemcpyAsync", launched < 0 ? start - 20 : launched);
    event("gpu_memcpy", name, 0, 9, start, duration,
          fmt::format(R"({{"stream":9,"correlation":{},"bytes":{}}})", id, bytes));
  }
  void collective(const std::string& kind, double start, double duration, long floats, double launched = -1) {
    const int id = launch("cudaLaunchKernelExC", launched < 0 ? start - 20 : launched);
    std::string ranks;
    for (int r = 0; r < world_; ++r) ranks += (r == 0 ? "" : ",") + std::to_string(r);
    event("kernel", "ncclDevKernel_" + kind, 0, stream_, start, duration,
          fmt::format(R"({{"stream":{},"correlation":{},"Collective name":"{}","In msg nelems":{},"Out msg nelems":{},)"
                      R"("Group size":{},"dtype":"Float","Process Group Name":"0","Process Group Description":"dp",)"
                      R"("Process Group Ranks":"[{}]","Seq":{}}})",
                      stream_, id, kind, floats, floats, world_, ranks, ++calls_));
  }
  std::string text() const {
    return fmt::format(R"({{"schemaVersion":1,"traceEvents":[{}],"distributedInfo":{{"rank":{},"world_size":{}}},)"
                       R"("baseTimeNanoseconds":1700000000000000000}})",
                       events_, rank_, world_);
  }

 private:
  static constexpr int kThread = 11;
  int launch(const std::string& name, double start) {
    event("cuda_runtime", name, 1, kThread, start, 5, fmt::format(R"({{"correlation":{}}})", ++launches_));
    return launches_;
  }
  void event(const std::string& category, const std::string& name, int pid, int tid, double start, double duration,
             const std::string& args) {
    events_ +=
        fmt::format(R"({}{{"ph":"X","cat":"{}","name":"{}","pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f},"args":{}}})",
                    events_.empty() ? "" : ",\n", category, name, pid, tid, start, duration, args);
  }
  int rank_, world_, stream_, launches_ = 0, calls_ = 0;  ///< stream_: of collectives
  std::string events_;
};

}  // namespace shardscope::testing
