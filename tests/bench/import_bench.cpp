// How fast are files of other programs imported, in how much memory, and how large and quick is what comes of them?
//
//   import_bench [MB of JSON] [millions of slices]        (defaults 300 and 10)
//
// A Kineto trace of that size is made (events as an A100 run has them, 240 bytes each on average), imported as it is
// and gzipped; then slices are written straight into a store, and windows of it looked at. CPU time, except where it
// says wall.

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>

#include "core/check.h"
#include "profiler/import/import_files.h"
#include "profiler/query/timeline.h"
#include "profiler/store/chunks.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}
double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
double peak_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

/// An operator, its launch, the arrow of it, and the kernel: what a trace repeats.
void append_group(std::string& out, int i, std::int64_t us) {
  static constexpr const char* kOps[] = {"aten::mm", "aten::native_layer_norm",
                                         "autograd::engine::evaluate_function: MmBackward0", "aten::add_",
                                         "aten::_scaled_dot_product_flash_attention"};
  static constexpr const char* kKernels[] = {
      "ampere_bf16_s16816gemm_bf16_128x128_ldg8_f2f_stages_32x5_tn",
      "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>, "
      "at::detail::Array<char*, 3> >(int, at::native::CUDAFunctor_add<c10::BFloat16>, at::detail::Array<char*, 3>)",
      "void (anonymous namespace)::vectorized_layer_norm_kernel<c10::BFloat16, float>(int, float, c10::BFloat16 "
      "const*)"};
  fmt::format_to(std::back_inserter(out),
                 "  {{\n    \"ph\": \"X\", \"cat\": \"cpu_op\", \"name\": \"{}\", \"pid\": 2910249, \"tid\": {},\n    "
                 "\"ts\": {}.{:03}, "
                 "\"dur\": {}.250,\n    \"args\": {{\n      \"External id\": {},\"Record function id\": 0, \"Ev Idx\": "
                 "{}\n    }}\n  }},\n",
                 kOps[i % 5], 2910249 + (i & 1), us, i % 1000, 12 + i % 90, i, i);
  fmt::format_to(std::back_inserter(out),
                 "  {{\n    \"ph\": \"X\", \"cat\": \"cuda_runtime\", \"name\": \"cudaLaunchKernel\", \"pid\": "
                 "2910249, \"tid\": {},\n    "
                 "\"ts\": {}.{:03}, \"dur\": 4.{:03},\n    \"args\": {{\n      \"External id\": {}, \"cbid\": 211, "
                 "\"correlation\": {}\n    }}\n  }},\n",
                 2910249 + (i & 1), us + 3, i % 1000, i % 999, i, i);
  fmt::format_to(std::back_inserter(out),
                 "  {{\n    \"ph\": \"s\", \"id\": {}, \"pid\": 2910249, \"tid\": {}, \"ts\": {}.{:03},\n    \"cat\": "
                 "\"ac2g\", \"name\": "
                 "\"ac2g\"\n  }},\n",
                 i, 2910249 + (i & 1), us + 3, i % 1000);
  fmt::format_to(std::back_inserter(out),
                 "  {{\n    \"ph\": \"X\", \"cat\": \"kernel\", \"name\": \"{}\", \"pid\": 0, \"tid\": 7,\n    \"ts\": "
                 "{}.{:03}, \"dur\": {}.{:03},\n    "
                 "\"args\": {{\n      \"External id\": {},\n      \"queued\": 0, \"device\": 0, \"context\": 1,\n      "
                 "\"stream\": 7, \"correlation\": "
                 "{},\n      \"registers per thread\": 40,\n      \"shared memory\": 400,\n      \"blocks per SM\": "
                 "4.740741,\n      \"warps per SM\": "
                 "75.851852,\n      \"grid\": [{}, 1, 1],\n      \"block\": [256, 1, 1],\n      \"est. achieved "
                 "occupancy %\": 75\n    }}\n  }},\n",
                 kKernels[i % 3], us + 20, i % 1000, 8 + i % 30, i % 997, i, i, 64 << (i % 4));
}

/// Returns its size.
std::int64_t make_trace(const std::string& path, std::int64_t mb) {
  std::ofstream out(path, std::ios::binary);
  std::string block = "{\n  \"schemaVersion\": 1,\n  \"traceEvents\": [\n";
  std::int64_t size = 0;
  for (int i = 1; size < mb * 1'000'000; ++i) {
    append_group(block, i, 4'458'676'388'068LL + 45LL * i);
    if (block.size() < (1 << 20)) continue;
    out << block;
    size += static_cast<std::int64_t>(block.size());
    block.clear();
  }
  block +=
      "  {\"ph\": \"X\", \"cat\": \"user_annotation\", \"name\": \"ProfilerStep#1\", \"pid\": 2910249, \"tid\": "
      "2910249, "
      "\"ts\": 4458676388068.000, \"dur\": 99999999.000}\n  ],\n  \"baseTimeNanoseconds\": 1711964646000000000\n}\n";
  out << block;
  return size + static_cast<std::int64_t>(block.size());
}

void zip(const std::string& from, const std::string& to) {
  std::ifstream in(from, std::ios::binary);
  gzFile out = gzopen(to.c_str(), "wb1");
  std::string block(1 << 20, '\0');
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())), in.gcount() > 0)
    gzwrite(out, block.data(), static_cast<unsigned>(in.gcount()));
  gzclose(out);
}

void import_one(const char* what, const std::string& file, const std::string& db, std::int64_t json_bytes) {
  fs::remove(db);
  ImportControl control;
  const double cpu = cpu_seconds(), wall = wall_seconds();
  const ImportResult result = import_files({file}, {.out = db}, control);
  const double cpu_used = cpu_seconds() - cpu, wall_used = wall_seconds() - wall;
  fmt::print(
      "{:22} {:6.0f} MB JSON  {:6.0f} MB/s  {:8.0f} events/s  {:6.2f} s CPU {:6.2f} s wall  {:5.2f} bytes/event in "
      "the file  peak {:.0f} MB\n",
      what, static_cast<double>(json_bytes) * 1e-6, static_cast<double>(json_bytes) * 1e-6 / cpu_used,
      static_cast<double>(result.events) / cpu_used, cpu_used, wall_used,
      static_cast<double>(fs::file_size(db)) / static_cast<double>(result.events), peak_mb());
}

void write_store(const std::string& db, std::int64_t slices) {
  fs::remove(db);
  const double cpu = cpu_seconds();
  ImportWriter writer(db, "bench");
  const int rank = writer.add_rank({.file = "generated", .format = "bench"});
  std::vector<int> tracks;
  std::vector<std::int32_t> ops;
  std::vector<std::string> names;
  for (int t = 0; t < 8; ++t) {
    const std::string name = fmt::format("gpu0 stream {}", t);
    tracks.push_back(writer.track(rank, name, TrackKind::kDevice));
  }
  for (int o = 0; o < 500; ++o) {
    const std::string name = fmt::format("kernel {}", o);
    ops.push_back(writer.op(rank, {.kind = "kernel", .name = name, .lane = "compute"}));
  }
  std::mt19937 random(1);
  std::vector<std::int64_t> at(tracks.size(), 1'700'000'000'000'000'000);
  for (std::int64_t i = 0; i < slices; ++i) {
    const auto t = static_cast<std::size_t>(i) % tracks.size();
    const std::int64_t duration = 2'000 + random() % 60'000;
    writer.slice(rank, tracks[t], {ops[random() % ops.size()], at[t], duration, i + 1});
    at[t] += duration + random() % 4'000;
  }
  const double gathered = cpu_seconds();
  writer.finish(ImportStatus::kComplete);
  fmt::print(
      "{} M slices: gathered in {:.1f} s, written in {:.1f} s ({:.2f} M/s), {:.2f} bytes a slice in the file, peak "
      "{:.0f} MB\n",
      slices / 1'000'000, gathered - cpu, cpu_seconds() - gathered,
      static_cast<double>(slices) * 1e-6 / (cpu_seconds() - cpu),
      static_cast<double>(fs::file_size(db)) / static_cast<double>(slices), peak_mb());
}

void look(const std::string& db) {
  double start = wall_seconds();
  const Profile profile(db);
  const Timeline timeline(profile, 1);
  const TimelineTrack& track = timeline.tracks()[0];
  const double opened = wall_seconds();
  for (const TimelineTrack& t : timeline.tracks()) timeline.look(t, timeline.extent(), 1920);
  fmt::print("opened in {:.1f} ms wall, first view of {} tracks {:.1f} ms\n", (opened - start) * 1e3,
             timeline.tracks().size(), (wall_seconds() - opened) * 1e3);
  std::mt19937_64 random(2);
  double worst = 0, sum = 0;
  constexpr int kWindows = 200;
  std::size_t shown = 0;
  for (int i = 0; i < kWindows; ++i) {
    const std::int64_t from =
        track.extent.begin_ns + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(track.extent.length()));
    start = wall_seconds();
    const TrackView view = timeline.look(track, {from, from + 1'000'000'000}, 1920);
    const double took = wall_seconds() - start;
    shown += view.spans.size() + view.buckets.size();
    worst = std::max(worst, took);
    sum += took;
  }
  fmt::print("a 1 s window of one track: mean {:.2f} ms, worst {:.2f} ms wall ({} spans or buckets)\n",
             sum / kWindows * 1e3, worst * 1e3, shown / kWindows);
}

void decode_speed() {
  std::vector<SliceEvent> slices(kChunkRows);
  std::mt19937 random(3);
  std::int64_t at = 0;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    slices[i].op = OpId{static_cast<std::int32_t>(random() % 500)};
    slices[i].start_ns = at;
    slices[i].duration_ns = 2'000 + random() % 60'000;
    slices[i].correlation = static_cast<std::int64_t>(i);
    at += slices[i].duration_ns + random() % 4'000;
  }
  const EventChunk packed = pack(std::span<const SliceEvent>(slices)),
                   json = encode(std::span<const SliceEvent>(slices));
  for (const EventChunk* chunk : {&packed, &json}) {
    std::int64_t sum = 0;
    constexpr int kRounds = 2000;
    const double start = cpu_seconds();
    for (int i = 0; i < kRounds; ++i) decode_slices(chunk->data, 0, [&](const SliceEvent& e) { sum += e.duration_ns; });
    const double seconds = cpu_seconds() - start;
    SS_CHECK(sum > 0, sum);
    fmt::print("{:6} {:5.2f} bytes a slice, decoded at {:.0f} M slices/s\n", chunk == &packed ? "packed" : "JSON",
               static_cast<double>(chunk->data.size()) / kChunkRows, kRounds * kChunkRows * 1e-6 / seconds);
  }
}

void bench(std::int64_t mb, std::int64_t millions) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("shardscope_import_bench_{}", ::getpid());
  fs::create_directories(folder);
  const std::string json = (folder / "trace.json").string(), db = (folder / "run.db").string();
  decode_speed();
  if (mb > 0) {
    const std::int64_t size = make_trace(json, mb);
    zip(json, json + ".gz");
    import_one("Kineto JSON", json, db, size);
    import_one("Kineto JSON, gzipped", json + ".gz", db, size);
    fs::remove(json);
    fs::remove(json + ".gz");
  }
  if (millions > 0) {
    write_store(db, millions * 1'000'000);
    look(db);
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  shardscope::bench(argc > 1 ? std::atoll(argv[1]) : 300, argc > 2 ? std::atoll(argv[2]) : 10);
}
