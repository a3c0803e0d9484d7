#include "synthetic/criteo_marginals.hpp"

#include <cmath>

namespace sparrow {

const std::array<int, kCriteoCategories> kTerabyteBagSizes{3, 2, 1, 2, 6, 1, 1,  1,   1,  7,  3, 8, 1,
                                                           6, 9, 5, 1, 1, 1, 12, 100, 27, 10, 3, 1, 1};

std::vector<double> head_probabilities(const RankLaw& law) {
  std::vector<double> head{law.head[0].probability};
  for (size_t k = 1; k < law.head.size(); ++k) {
    const HeadKnot &a = law.head[k - 1], &b = law.head[k];
    const double slope = std::log(b.probability / a.probability) / std::log(static_cast<double>(b.rank) / a.rank);
    for (int rank = a.rank + 1; rank <= b.rank; ++rank)
      head.push_back(a.probability * std::pow(static_cast<double>(rank) / a.rank, slope));
  }
  double sum = 0;
  for (const double p : head) sum += p;
  for (double& p : head) p *= law.head_mass / sum;
  return head;
}

}  // namespace sparrow
