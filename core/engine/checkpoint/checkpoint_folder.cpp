#include "core/engine/checkpoint/checkpoint_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/check.h"
#include "core/engine/checkpoint/checkpoint_source.h"
#include "core/engine/checkpoint/disk_file.h"
#include "core/error.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLatest = "latest";
constexpr const char* kPartial = ".partial";

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

void remove_tree(const std::string& path) {
  std::error_code ignored;  // what stays has no checkpoint's name, and the next run tries again
  fs::remove_all(path, ignored);
}

/// Gives step-N.partial its name. A checkpoint of that name, of a run that started again before it, is replaced: the
/// two change places in one operation where the file system can.
void give_name(const std::string& partial, const std::string& name) {
  if (!fs::exists(name)) return rename_file(partial, name);
  if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, name.c_str(), RENAME_EXCHANGE) != 0) {
    const std::string aside = name + "-replaced" + kPartial;
    remove_tree(aside);
    rename_file(name, aside);
    rename_file(partial, name);
    return remove_tree(aside);
  }
  remove_tree(partial);
}

/// Takes it out of the checkpoints first, so that nobody meets it half removed.
void remove_checkpoint(const std::string& path) {
  const std::string aside = path + "-old" + kPartial;
  remove_tree(aside);
  rename_file(path, aside);
  remove_tree(aside);
}

std::string problem_of(const std::string& checkpoint) {
  try {
    CheckpointSource source(checkpoint);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

std::string checkpoint_name(std::int64_t step) { return fmt::format("step-{}", step); }

std::string partial_path(const std::string& folder, std::int64_t step) {
  return join_path(folder, checkpoint_name(step) + kPartial);
}

CheckpointFolder::CheckpointFolder(std::string path) : path_(std::move(path)) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error || !fs::is_directory(path_)) {
    throw Error(ErrorKind::kIo,
                fmt::format("{}: cannot be made a folder: {}", path_, error ? error.message() : "it is a file"));
  }
  const std::string lock = join_path(path_, "lock");
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) throw Error(ErrorKind::kIo, fmt::format("{}: cannot be written: {}", lock, std::strerror(errno)));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: another run writes its checkpoints there; give another folder", path_));
  }
  for (const std::string& name : names_in(path_)) {
    if (name.starts_with("step-") && name.ends_with(kPartial)) remove_tree(join_path(path_, name));
  }
}

CheckpointFolder::~CheckpointFolder() { ::close(lock_); }

void CheckpointFolder::publish(std::int64_t step, const Manifest& manifest) {
  const std::string partial = partial_path(path_, step), name = join_path(path_, checkpoint_name(step));
  write_synced(join_path(partial, kManifestFile), to_json(manifest));
  sync_folder(partial);
  give_name(partial, name);
  sync_folder(path_);
  const std::string next = join_path(path_, "latest.next");
  write_synced(next, checkpoint_name(step) + "\n");
  rename_file(next, join_path(path_, kLatest));
  sync_folder(path_);
}

void CheckpointFolder::remove_old(int keep) {
  SS_CHECK(keep >= 1, keep);
  const std::optional<std::string> latest = latest_name(path_);
  for (const std::string& checkpoint : list_checkpoints(path_)) {
    if (file_name(checkpoint) == latest) continue;
    if (--keep <= 0) remove_checkpoint(checkpoint);
  }
}

bool is_checkpoint(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(join_path(path, kManifestFile), error);
}

std::vector<std::string> list_checkpoints(const std::string& folder) {
  std::vector<std::pair<fs::file_time_type, std::string>> found;
  for (const std::string& name : names_in(folder)) {
    const std::string path = join_path(folder, name);
    if (!name.starts_with("step-") || name.ends_with(kPartial) || !is_checkpoint(path)) continue;
    std::error_code error;
    found.emplace_back(fs::last_write_time(join_path(path, kManifestFile), error), path);
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> paths;
  for (auto& [time, path] : found) paths.push_back(std::move(path));
  return paths;
}

std::optional<std::string> latest_name(const std::string& folder) {
  std::ifstream file(join_path(folder, kLatest));
  std::string name;
  if (!(file >> name) || name.size() > 255 || name.find('/') != std::string::npos) return std::nullopt;
  return name;
}

std::string find_checkpoint(const std::string& path, const Say& say) {
  if (is_checkpoint(path)) return path;
  const std::optional<std::string> latest = latest_name(path);
  std::string problem = fmt::format("{}: has no file 'latest'", path);
  if (latest) {
    problem = problem_of(join_path(path, *latest));
    if (problem.empty()) return join_path(path, *latest);
  }
  for (const std::string& other : list_checkpoints(path)) {
    if ((latest && file_name(other) == *latest) || !problem_of(other).empty()) continue;
    say(fmt::format("{}; going back to {}", problem, other));
    return other;
  }
  std::error_code error;
  if (!fs::is_directory(path, error)) throw Error(ErrorKind::kConfig, path + ": is no folder of checkpoints");
  throw Error(ErrorKind::kConfig,
              latest ? problem + "; there is no other complete checkpoint" : path + ": holds no complete checkpoint");
}

}  // namespace shardscope
