#pragma once
// What tests of importers share: importing a text or a file, and the real traces where they are at hand.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "profiler/import/import_files.h"
#include "profiler/query/import_facts.h"
#include "profiler/store/test_profile.h"
#include "source_dir.h"

namespace shardscope::testing {

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Imports files of these texts, called `name`, name1, ..., into run.db of the folder.
inline ImportResult import_texts(const TempFolder& folder, const std::string& name,
                                 const std::vector<std::string>& texts) {
  std::vector<std::string> files;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    files.push_back(folder.file(i == 0 ? name : std::to_string(i) + name));
    write_file(files.back(), texts[i]);
  }
  ImportControl control;
  return import_files(files, {.out = folder.file("run.db")}, control);
}

inline std::string import_error(const TempFolder& folder, const std::string& name, const std::string& text) {
  try {
    import_texts(folder, name, {text});
  } catch (const Error& error) {
    return error.what();
  }
  return "imported";
}

/// Rows of a query as text, "a|b\n".
inline std::string rows_of(const Profile& profile, const std::string& sql) {
  std::string text;
  for (Rows rows = profile.rows(sql); rows.next(); text += '\n') {
    for (int c = 0; c < rows.columns(); ++c) {
      if (c > 0) text += '|';
      if (rows.is_null(c)) continue;
      text += rows.is_integer(c) ? std::to_string(rows.integer(c))
              : rows.is_text(c)  ? rows.text(c)
                                 : std::to_string(rows.real(c));
    }
  }
  return text;
}

/// Of a folder with real traces (SHARDSCOPE_TRACES, or ../shared/traces beside the source); empty if there is none.
inline std::string trace_file(const std::string& name) {
  const char* given = std::getenv("SHARDSCOPE_TRACES");
  const std::string folder = given != nullptr ? given : std::string(SHARDSCOPE_SOURCE_DIR) + "/../shared/traces";
  std::string path = folder + "/" + name;
  return std::filesystem::exists(path) ? path : std::string();
}

/// Tests of what is made of a real trace (one rank of two A100, three steps bound by their host), imported as run 1.
class RealTrace : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string trace = trace_file("kineto_a100x2_rank0_nccl.json.gz");
    if (trace.empty()) GTEST_SKIP() << "SKIPPED: no real traces here";
    folder_.emplace();
    ImportControl control;
    import_files({trace}, {.out = path()}, control);
  }
  std::string path() const { return folder_->file("run.db"); }

 private:
  std::optional<TempFolder> folder_;
};

}  // namespace shardscope::testing
