// The list of importers. To add one: a folder, and two lines here.

#include <array>

#include "profiler/import/importer.h"

namespace shardscope {

extern const Importer kCaptureImporter;
extern const Importer kChakraImporter;
extern const Importer kDeepSpeedLogImporter;
extern const Importer kExecutionTraceImporter;
extern const Importer kKinetoImporter;
extern const Importer kNcclFlightImporter;
extern const Importer kNsysImporter;
extern const Importer kTorchSnapshotImporter;

std::span<const Importer* const> importers() {
  static constexpr std::array kAll = {&kCaptureImporter, &kKinetoImporter,        &kNcclFlightImporter,
                                      &kNsysImporter,    &kTorchSnapshotImporter, &kExecutionTraceImporter,
                                      &kChakraImporter,  &kDeepSpeedLogImporter};
  return kAll;
}

}  // namespace shardscope
