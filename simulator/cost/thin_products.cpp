#include "simulator/cost/thin_products.h"

#include <algorithm>
#include <cmath>

namespace shardscope {

namespace {

/// What MatMul and MatMulInt8 have in common.
struct Product {
  Region b;
  std::int64_t rows;
  bool trans_b;
};

std::optional<Product> product_of(const Op& op) {
  if (const auto* o = std::get_if<MatMulInt8>(&op)) return Product{o->b, o->m, o->trans_b};
  const auto* o = std::get_if<MatMul>(&op);
  if (o == nullptr || o->trans_a || o->in_fp8()) return std::nullopt;
  return Product{o->b, o->m, o->trans_b};
}

}  // namespace

std::string ThinFamily::name() const {
  return "thin_product:" + std::string(to_string(weights)) + (trans_b ? ":tb:" : ":") + std::to_string(rows);
}

std::optional<ThinProduct> thin_product(const Program& program, const Op& op) {
  const std::optional<Product> product = product_of(op);
  if (!product || product->rows > kThinRows.back()) return std::nullopt;
  const DType dtype = program.buffer(product->b.buffer).dtype;
  const DType weights = dtype == DType::kF16 ? DType::kBF16 : dtype;  // as many bytes, widened likewise
  const auto* const above = std::lower_bound(kThinRows.begin(), kThinRows.end(), product->rows);
  const auto* const below = *above == product->rows ? above : above - 1;
  ThinProduct thin{ThinFamily{weights, product->trans_b, *below}.name(),
                   ThinFamily{weights, product->trans_b, *above}.name()};
  if (below != above) {
    const auto low = static_cast<double>(*below), high = static_cast<double>(*above);
    thin.share = std::log(static_cast<double>(product->rows) / low) / std::log(high / low);
  }
  thin.work = static_cast<double>(program.bytes(product->b));
  return thin;
}

const std::vector<ThinFamily>& thin_families() {
  static const std::vector<ThinFamily> families = [] {
    std::vector<ThinFamily> all;
    for (const DType weights : {DType::kF32, DType::kBF16, DType::kI8}) {
      for (const bool trans_b : {false, true}) {
        for (const std::int64_t rows : kThinRows) all.push_back({weights, trans_b, rows});
      }
    }
    return all;
  }();
  return families;
}

}  // namespace shardscope
