#pragma once
// A folder for files that nobody keeps: made when asked for, gone with the object. No Qt.
//
//   ScratchFolder folder;
//   predict_stages(profile, run, folder.file("stages.db"));

#include <string>

namespace shardscope::gui {

class ScratchFolder {
 public:
  ScratchFolder();  ///< throws Error{kIo} if the system's folder for temporary files cannot be written
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string file(const std::string& name) const;

 private:
  std::string path_;
};

}  // namespace shardscope::gui
