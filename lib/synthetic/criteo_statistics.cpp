#include "synthetic/criteo_statistics.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.hpp"

namespace sparrow {

const CriteoStatistics& criteo_statistics(std::string_view name) {
  if (name == "terabyte") return terabyte_statistics();
  if (name == "kaggle") return kaggle_statistics();
  fail("unknown data set '{}'; expected: terabyte, kaggle", name);
}

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

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    words.push_back(text.substr(0, text.find(' ')));
    text.remove_prefix(std::min(words.back().size() + 1, text.size()));
  }
  return words;
}

double missing_rate(const CriteoStatistics& statistics, std::string_view column) {
  for (const MissingGroup& group : statistics.missing)
    if (std::ranges::count(words_of(group.columns), column) > 0) return group.rate;
  return 0;
}

int column_index(std::string_view name) {
  int number = 0;
  if (name.size() >= 2 && (name[0] == 'C' || name[0] == 'I')) {
    const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), number);
    const int columns = name[0] == 'C' ? kCriteoTables : kCriteoDense;
    if (error == std::errc() && end == name.data() + name.size() && number >= 1 && number <= columns) return number - 1;
  }
  fail("unknown column '{}'; expected I1 to I13 or C1 to C26", name);
}

}  // namespace sparrow
