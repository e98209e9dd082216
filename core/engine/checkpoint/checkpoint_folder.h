#pragma once
// A folder of checkpoints: step-20, step-40, ... and `latest`, which names the one to go on from. A checkpoint is made
// in step-N.partial and gets its name when all of it is on the disk, so whatever bears a name is complete.
//
//   CheckpointFolder folder("ckpt");  folder.publish(40, manifest);
//   std::string newest = find_checkpoint("ckpt", say);   // "ckpt/step-40"

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/checkpoint/checkpoint_format.h"

namespace shardscope {

/// Says one line to the user.
using Say = std::function<void(const std::string&)>;

/// The writing side; of one run at a time, which it makes sure of with a lock that ends with the process.
class CheckpointFolder {
 public:
  /// Makes the folder if need be, takes the lock, and removes what a killed run left half made. Throws Error{kConfig}
  /// if another run holds it, Error{kIo} if it cannot be written.
  explicit CheckpointFolder(std::string path);
  ~CheckpointFolder();
  CheckpointFolder(const CheckpointFolder&) = delete;
  CheckpointFolder& operator=(const CheckpointFolder&) = delete;

  /// Ends step-N.partial, whose ranks' files are on the disk: manifest, name, then `latest`. Throws Error{kIo}.
  void publish(std::int64_t step, const Manifest& manifest);
  /// Removes the oldest but `keep` (at least 1) complete checkpoints; never the one that `latest` names.
  void remove_old(int keep);

 private:
  std::string path_;
  int lock_ = -1;
};

std::string checkpoint_name(std::int64_t step);                          ///< "step-40"
std::string partial_path(const std::string& folder, std::int64_t step);  ///< "ckpt/step-40.partial"
bool is_checkpoint(const std::string& path);                             ///< it has a manifest
std::vector<std::string> list_checkpoints(const std::string& folder);    ///< paths, newest first
std::optional<std::string> latest_name(const std::string& folder);       ///< what `latest` says

/// `path` itself if it is a checkpoint; else what `latest` names in it, or, after a line through `say`, the newest
/// other one that opens. Throws Error{kConfig} if there is none.
std::string find_checkpoint(const std::string& path, const Say& say);

}  // namespace shardscope
