#pragma once
// Writes checkpoints beside training: at a step boundary the state is copied to host memory, and while training goes on
// a thread per rank writes the copy. One checkpoint is under way at most: the next waits for it. A failure (a full
// disk) is told, and costs neither the run nor the last complete checkpoint.
//
//   Checkpointer checkpoints({.folder = "ckpt", .every = 100}, record, std::move(parts), {0, 1}, say);
//   checkpoints.at_boundary(rank, memory, position);  ...  checkpoints.finish(rank, memory);

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/engine/checkpoint/checkpoint_folder.h"
#include "core/engine/checkpoint/deal_state.h"
#include "core/spec/job.h"

namespace shardscope {

struct CheckpointOptions {
  std::string folder;
  std::int64_t every = 0;  ///< steps; 0: only at the end
  int keep = 2;            ///< complete checkpoints that stay; 0: all
};

/// Position aside, what a job's checkpoints say: model, seed, hyper-parameters.
Manifest checkpoint_record(const Job& job);

/// The checkpoints of one process's ranks. Rank 0's process also completes them, when every rank's index has appeared;
/// ranks of other processes need the same folder.
class Checkpointer {
 public:
  /// `parts`: by rank, of all of them (deal_state). `local`: the ranks of this process. Throws what CheckpointFolder
  /// does.
  Checkpointer(CheckpointOptions options, Manifest record, std::vector<std::vector<OwnedPart>> parts,
               const std::vector<int>& local, Say say);
  ~Checkpointer();  ///< does not wait for other ranks
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  /// On the rank's own thread, all its lanes idle, after every step. Copies the state if it is time.
  void at_boundary(int rank, const Memory& memory, const RunPosition& position);
  /// After the last boundary: writes that one if it is not written yet, and waits for it.
  void finish(int rank, const Memory& memory);

  /// Of rank 0's process; after finish(). Empty: none, or nothing went wrong.
  std::string last_complete() const { return last_complete_; }
  std::int64_t bytes() const { return bytes_; }  ///< of one checkpoint's data, all ranks
  int failures() const { return failures_; }
  double copy_seconds() const {
    return static_cast<double>(copy_ns_.load()) * 1e-9;
  }  ///< that rank 0's training waited, all in all

 private:
  struct Rank;
  void save(Rank& rank, const Memory& memory);
  void copy_state(Rank& rank, const Memory& memory) const;
  void write(Rank& rank, const RunPosition& position);
  void write_data(Rank& rank, const std::string& partial, std::int64_t step) const;
  void complete(const RunPosition& position);
  std::string wait_until_written(const std::string& partial, int rank) const;
  Manifest gather(const std::string& partial, const RunPosition& position) const;
  static void wait_for(Rank& rank);
  void report(const RunPosition& position, const std::string& what);

  CheckpointOptions options_;
  Manifest record_;
  Say say_;
  int world_ = 1;
  std::int64_t bytes_ = 0;
  std::map<int, std::unique_ptr<Rank>> ranks_;
  std::unique_ptr<CheckpointFolder> folder_;  // of rank 0's process
  std::string last_complete_;                 // written by rank 0's writing thread, read after it has been joined
  std::atomic<int> failures_ = 0;
  std::atomic<std::int64_t> copy_ns_ = 0;
  std::mutex report_mutex_;
  std::set<std::int64_t> reported_;  // steps of the checkpoints whose failure was told
  std::atomic<bool> give_up_ = false;
};

}  // namespace shardscope
