#include "core/engine/checkpoint/checkpointer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/engine/checkpoint/disk_file.h"
#include "core/engine/region_io.h"
#include "core/error.h"
#include "core/spec/json_tree.h"
#include "core/spec/model_config.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kWriteBytes = 8 << 20;  // in one call: large enough for the disk, small enough to stay in cache
constexpr std::chrono::milliseconds kPollTime{5};
constexpr std::int64_t kPatienceNs = 600'000'000'000;  // a rank that takes ten minutes longer than rank 0 is not alive

struct FreeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};

/// Whole blocks, aligned to them.
std::byte* allocate_blocks(std::int64_t bytes) {
  const std::int64_t rounded = std::max<std::int64_t>((bytes + kDirectBlock - 1) / kDirectBlock, 1) * kDirectBlock;
  void* const memory = std::aligned_alloc(kDirectBlock, static_cast<std::size_t>(rounded));
  if (memory == nullptr) {
    throw Error(ErrorKind::kDevice, fmt::format("no {} bytes of host memory for the copy of the state", rounded));
  }
  return static_cast<std::byte*>(memory);
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

std::string hyper_parameters(const TrainingSpec& t) {
  const nlohmann::ordered_json json{{"train_batch_size", t.train_batch_size},
                                    {"gradient_clipping", t.gradient_clipping},
                                    {"optimizer", t.optimizer.kind == OptimizerKind::kAdam ? "Adam" : "AdamW"},
                                    {"lr", t.optimizer.lr},
                                    {"betas", {t.optimizer.beta1, t.optimizer.beta2}},
                                    {"eps", t.optimizer.eps},
                                    {"weight_decay", t.optimizer.weight_decay}};
  return json.dump();
}

}  // namespace

/// What one rank of this process owns and is writing.
struct Checkpointer::Rank {
  int rank = 0;
  std::vector<OwnedPart> parts;
  RankIndex index;                              // without checksums until they are computed
  std::unique_ptr<std::byte, FreeMemory> copy;  // made at the first checkpoint, used again
  std::thread thread;
  RunPosition position;    // at the last boundary
  std::int64_t saved = 0;  // steps of the last checkpoint begun
};

Manifest checkpoint_record(const Job& job) {
  Manifest record;
  record.seed = job.seed;
  record.model_json = model_config_json(job.model);
  record.training_json = hyper_parameters(job.training);
  for (const TensorSpec& tensor : list_tensors(job.model)) record.tensors.push_back({tensor.name, tensor.shape});
  return record;
}

Checkpointer::Checkpointer(CheckpointOptions options, Manifest record, std::vector<std::vector<OwnedPart>> parts,
                           const std::vector<int>& local, Say say)
    : options_(std::move(options)),
      record_(std::move(record)),
      say_(std::move(say)),
      world_(static_cast<int>(parts.size())) {
  for (const std::vector<OwnedPart>& owned : parts) {
    for (const OwnedPart& part : owned) bytes_ += part.elements() * size_of(part.dtype);
  }
  for (const int r : local) {
    auto rank = std::make_unique<Rank>();
    rank->rank = rank->index.rank = r;
    rank->parts = std::move(parts.at(static_cast<std::size_t>(r)));
    for (const OwnedPart& part : rank->parts) {
      rank->index.parts.push_back(
          {part.tensor, part.role, part.dtype, rank->index.bytes, part.elements(), part.runs, {}});
      rank->index.bytes += rank->index.parts.back().bytes();
    }
    ranks_.emplace(r, std::move(rank));
  }
  if (ranks_.contains(0)) folder_ = std::make_unique<CheckpointFolder>(options_.folder);
}

Checkpointer::~Checkpointer() {
  give_up_ = true;
  for (auto& [number, rank] : ranks_) wait_for(*rank);
}

void Checkpointer::at_boundary(int rank, const Memory& memory, const RunPosition& position) {
  Rank& own = *ranks_.at(rank);
  own.position = position;
  if (options_.every > 0 && position.steps % options_.every == 0) save(own, memory);
}

void Checkpointer::finish(int rank, const Memory& memory) {
  Rank& own = *ranks_.at(rank);
  if (own.saved != own.position.steps) save(own, memory);
  wait_for(own);
}

void Checkpointer::wait_for(Rank& rank) {
  if (rank.thread.joinable()) rank.thread.join();
}

void Checkpointer::save(Rank& rank, const Memory& memory) {
  const std::int64_t start = now_ns();
  wait_for(rank);
  const RunPosition position = rank.position;
  rank.saved = position.steps;
  try {
    copy_state(rank, memory);
    rank.thread = std::thread([this, &rank, position] { write(rank, position); });
  } catch (const std::exception& error) {  // no memory for the copy, or no thread
    report(position, error.what());
  }
  if (rank.rank == 0) copy_ns_ += now_ns() - start;
}

void Checkpointer::copy_state(Rank& rank, const Memory& memory) const {
  if (rank.copy == nullptr) {
    rank.copy.reset(allocate_blocks(rank.index.bytes));
  }
  std::byte* to = rank.copy.get();
  for (const OwnedPart& part : rank.parts) {
    for (const Region& region : part.regions) {
      read_region(memory, region, to);
      to += memory.program->bytes(region);
    }
  }
  SS_CHECK(to == rank.copy.get() + rank.index.bytes, rank.rank, rank.index.bytes);
}

/// On the rank's writing thread. Never throws: a failure is told, and leaves a file that tells rank 0.
void Checkpointer::write(Rank& rank, const RunPosition& position) {
  const std::string partial = partial_path(options_.folder, position.steps);
  const std::string failed = join_path(partial, rank_file(rank.rank, ".failed"));
  try {
    fs::create_directories(partial);
    fs::remove(failed);
    write_data(rank, partial, position.steps);
  } catch (const std::exception& error) {
    report(position, error.what());
    std::error_code ignored;
    fs::remove(join_path(partial, rank_file(rank.rank, ".bin")), ignored);  // makes room for the next line's file
    std::ofstream(failed) << error.what();
  }
  if (rank.rank == 0) complete(position);
}

/// Data first, then the index, under its name only when both are on the disk. That name is the last that is done here:
/// rank 0 may have published the folder a moment later. It makes the names last before it does.
void Checkpointer::write_data(Rank& rank, const std::string& partial, std::int64_t step) const {
  DiskFile file = DiskFile::create_direct(join_path(partial, rank_file(rank.rank, ".bin")));
  std::int64_t written = 0;
  const auto write_up_to = [&](std::int64_t end) {
    file.write(written, {rank.copy.get() + written, static_cast<std::size_t>(end - written)});
    written = end;
  };
  for (PartEntry& part : rank.index.parts) {
    part.sums.clear();
    for (std::int64_t done = 0; done < part.bytes(); done += kCheckedBytes) {
      const std::int64_t begin = part.offset + done, n = std::min(kCheckedBytes, part.bytes() - done);
      part.sums.push_back(checksum(std::span(rank.copy.get() + begin, static_cast<std::size_t>(n))));
      if (begin + n - written >= kWriteBytes)
        write_up_to((begin + n) / kDirectBlock * kDirectBlock);  // still in the cache
    }
  }
  write_up_to(rank.index.bytes / kDirectBlock * kDirectBlock);
  write_up_to(rank.index.bytes);
  file.sync();
  rank.index.step = step;
  const std::string index = join_path(partial, rank_file(rank.rank, ".json"));
  write_synced(index + ".next", to_json(rank.index));
  rename_file(index + ".next", index);
}

/// Waits until every rank has written its part or failed, and makes a checkpoint of them, or nothing.
void Checkpointer::complete(const RunPosition& position) {
  const std::string partial = partial_path(options_.folder, position.steps);
  try {
    std::string failure;
    for (int r = world_ - 1; r >= 0; --r) {  // so that the first one's reason is told
      const std::string reason = wait_until_written(partial, r);
      if (!reason.empty()) failure = fmt::format("rank {}: {}", r, reason);
    }
    if (!failure.empty()) throw Error(ErrorKind::kIo, failure);
    folder_->publish(position.steps, gather(partial, position));
    last_complete_ = join_path(options_.folder, checkpoint_name(position.steps));
    if (options_.keep > 0) folder_->remove_old(options_.keep);
  } catch (const std::exception& error) {
    report(position, error.what());
    std::error_code ignored;
    fs::remove_all(partial, ignored);
  }
}

/// Empty, or why this rank's part will not come.
std::string Checkpointer::wait_until_written(const std::string& partial, int rank) const {
  const std::string index = join_path(partial, rank_file(rank, ".json"));
  const std::string failed = join_path(partial, rank_file(rank, ".failed"));
  const std::int64_t start = now_ns();
  while (!exists(index)) {
    if (exists(failed)) {
      std::string reason;
      std::getline(std::ifstream(failed), reason);
      return reason.empty() ? "could not write its part" : reason;
    }
    if (give_up_) return "the run ended before it had written its part";
    if (now_ns() - start > kPatienceNs) return "does not write its part";
    std::this_thread::sleep_for(kPollTime);
  }
  return "";
}

Manifest Checkpointer::gather(const std::string& partial, const RunPosition& position) const {
  Manifest manifest = record_;
  manifest.position = position;
  for (int r = 0; r < world_; ++r) {
    const std::string index = join_path(partial, rank_file(r, ".json")), text = read_text_file(index);
    manifest.ranks.push_back({.index = rank_file(r, ".json"),
                              .data = rank_file(r, ".bin"),
                              .checksum = checksum(text),
                              .bytes = parse_rank_index(text, index).bytes});
  }
  return manifest;
}

/// One line per checkpoint, although every rank may meet the same full disk.
void Checkpointer::report(const RunPosition& position, const std::string& what) {
  ++failures_;
  const std::lock_guard lock(report_mutex_);
  if (!reported_.insert(position.steps).second) return;
  say_(fmt::format("the checkpoint after step {} is not written: {}", position.steps, what));
}

}  // namespace shardscope
