#pragma once
// Logs that `shardscope record` leaves (NAME.capture), one a process. The
// processes of one rank become one: what a rank's process started, data loaders
// for instance, is imported with it.

#include "profiler/import/importer.h"

namespace shardscope {

extern const Importer kCaptureImporter;

}  // namespace shardscope
