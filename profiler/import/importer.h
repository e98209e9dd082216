#pragma once
// What reads files of other programs. One folder per format, one line in import_list.cpp:
//
//   const Importer kKineto = {"kineto", "PyTorch profiler trace: Chrome JSON, also gzipped", looks_like, import};
//
//   ImportSource source("trace.json.gz", control);
//   for (const Importer* importer : importers())
//     if (importer->recognises(source)) importer->import(source, writer);

#include <span>

#include "profiler/import/import_source.h"
#include "profiler/import/import_writer.h"

namespace shardscope {

struct Importer {
  const char* name;  ///< as source.format has it
  const char* what;  ///< for people: "PyTorch profiler trace (Kineto JSON, also gzipped)"
  /// By source.head() and source.name(): cheap, and sure enough that another importer need not be asked.
  bool (*recognises)(const ImportSource& source);
  /// Reads the whole of it. What is broken is counted with writer.diagnostic() and the rest read. Returns when
  /// source.cancelled(), with what there is. Throws Error{kParse} if nothing of it can be read, {kIo} as the writer.
  void (*import)(ImportSource& source, ImportWriter& writer);
};

/// All of them, in the order in which they are asked.
std::span<const Importer* const> importers();

/// What a file that no importer takes seems to be, from its first bytes: "a zip archive", "a text".
std::string seems_to_be(const ImportSource& source);

}  // namespace shardscope
