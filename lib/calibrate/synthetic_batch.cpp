#include "calibrate/synthetic_batch.hpp"

#include <algorithm>
#include <random>

#include "access/distributions.hpp"

namespace sparrow {

placement::TableDistribution synthetic_law(int64_t rows) {
  return from_law(parse_law("zipf:1.2"), rows);
}

SyntheticBatch::SyntheticBatch(const placement::TableDistribution& law, const ModelShape& model, int64_t samples,
                               int64_t global_samples, uint64_t seed)
    : positions_(samples * model.tables), dense_(samples * model.dense_features), labels_(samples) {
  std::vector<double> mass_before;  // of a class
  std::vector<int64_t> first_row;
  double mass = 0;
  int64_t row = 0;
  for (size_t c = 0; c < law.classes(); ++c) {
    mass_before.push_back(mass);
    first_row.push_back(row);
    mass += static_cast<double>(law.rows[c]) * law.p[0][c];
    row += law.rows[c];
  }
  std::mt19937_64 random(seed);
  for (int64_t& position : positions_) {
    const double at = mass * static_cast<double>(random() >> 11) / 9007199254740992.0;
    const auto after = std::upper_bound(mass_before.begin(), mass_before.end(), at);
    const auto c = static_cast<size_t>(after - mass_before.begin()) - 1;
    position = first_row[c] + static_cast<int64_t>(random() % static_cast<uint64_t>(law.rows[c]));
  }
  batch_.samples = samples;
  batch_.global_samples = global_samples;
  batch_.tables = static_cast<int>(model.tables);
  batch_.dense = dense_;
  batch_.labels = labels_;
  batch_.positions = positions_;
}

}  // namespace sparrow
