// A family of placements as linear forms: its options, its coupling rows, and what one row of a table adds to each of
// them. Prices of the coupling rows give every option a cost per class, and with it a lower bound for the whole family
// (the Lagrangian).
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "placement/family.hpp"
#include "placement/model.hpp"

namespace sparrow::placement {

/// One coupling row: either seconds of a resource within a step, or bytes of a store.
struct CouplingRow {
  int number = 0;  ///< in PriceBooks
  std::string resource, kind;
  std::vector<std::pair<int, double>> terms;  ///< (quantity, seconds per unit)
  double constant = 0;                        ///< seconds
  double capacity = 0;                        ///< bytes, of memory rows
  int step = -1;  ///< group of rows whose largest counts: a variable of time, or all of the iteration; -1: memory
  bool is_time() const { return step >= 0; }
};

/// Number, in PriceBooks, of the sum of the steps of a part of the overlapped iteration.
constexpr int number_of_part(int part) {
  return -1 - part;
}

/// Seconds and bytes that one row of given features adds: coupling rows x features.
using Matrix = std::vector<double>;

/// A way to place a row of a table.
struct Variant {
  int option = 0;
  bool pooled = false;
  const Matrix* matrix = nullptr;
  const Matrix* per_pair = nullptr;  ///< pooled: what one more pair per unit of mass adds
};

/// Prices: seconds per second of each time row, seconds per byte of each memory row; when overlapped one more at the
/// end for each part of the iteration: of the sum of its steps.
using Prices = std::vector<double>;

/// A line under the concave number of pooled pairs (a chord) or over it (a tangent), as a function of the mass that is
/// pooled.
struct PairLine {
  double slope = 0, intercept = 0;
};

class LinearForm {
 public:
  LinearForm(const CostModel& model, const SolveOptions& settings, const FamilyLimits& limits,
             const std::vector<std::vector<double>>& extra_bytes);

  const CostModel& model() const { return model_; }
  const FamilyLimits& limits() const { return limits_; }
  const std::vector<Option>& options() const { return options_; }
  const std::vector<CouplingRow>& rows() const { return rows_; }
  const std::vector<Variant>& variants(int t) const { return variants_[static_cast<size_t>(t)]; }
  size_t features() const { return static_cast<size_t>(model_.features().size()); }
  /// Variables of time. Sequential: T is their sum. Overlapped: T is the sum of the last two, the parts of the
  /// iteration, and each of the others is a step of one of them.
  int taus() const { return static_cast<int>(part_of_.size()) + parts(); }
  int parts() const { return model_.workload().overlapped ? 2 : 0; }
  int part_tau(int part) const { return static_cast<int>(part_of_.size()) + part; }
  int part_of(int step) const { return part_of_[static_cast<size_t>(step)]; }  ///< -1: sequential, or no step
  /// The variables whose sum a row must not exceed.
  std::vector<int> taus_of(const CouplingRow& row) const;
  double fixed_seconds() const { return fixed_seconds_; }  ///< compute, in the sequential sum
  /// Seconds that pooled tables add to each row whatever is chosen: tangents of the number of pairs do not pass through
  /// zero.
  const std::vector<double>& pooled_constants() const { return pooled_constants_; }

  /// Removes rows of a step that another row of it always exceeds.
  void drop_dominated();

  /// Scales prices down to where the dual allows them: those of a step sum to at most what a second of the step costs.
  Prices feasible(Prices price) const;
  Prices from_book(const PriceBook& book) const;
  /// Price of one row of table t, per variant and feature.
  std::vector<std::vector<double>> variant_prices(int t, const Prices& price) const;
  /// Least price of all rows of a table, what is not local pooled or not. pooled_mass: the mass that takes each option
  /// there.
  double least_price(int t, bool pooled, const Prices& price, std::vector<double>* pooled_mass = nullptr) const;
  /// No placement of the family takes less. `price` must be feasible.
  double bound(const Prices& price) const;

 private:
  void find_switches();
  void add_time_row(const TimeRow& row, int step, int number);
  void add_memory_row(Site site, double extra_bytes);
  void make_rows(const std::vector<std::vector<double>>& extra_bytes);
  void make_variants();
  void add_pooled(int t, int option);
  const Matrix& matrix(int option, Transport transport, const TableShape& shape, double factor);
  Matrix& new_matrix(int option, Transport transport, const TableShape& shape, double factor, bool& made);
  bool dominated(size_t row, size_t by) const;
  struct PooledLevel;
  void add_to_level(int t, const Variant& variant, const Prices& price, PooledLevel& level) const;
  double pooled_bound(int t, const Prices& price, std::vector<double>* mass) const;
  double cheapest_sum(int t, const std::vector<std::vector<double>>& prices) const;

  const CostModel& model_;
  const FamilyLimits& limits_;
  std::vector<Option> options_;
  std::vector<CouplingRow> rows_;
  std::vector<std::vector<Variant>> variants_;
  std::vector<double> pooled_constants_;
  std::vector<bool> switch_on_;  // messages or stores that some option of the family uses
  std::vector<int> part_of_;     // by step
  double fixed_seconds_ = 0;
  std::map<std::tuple<int, Transport, TableShape, double>, Matrix> matrices_;
};

/// Lookups that find a row of table t at all, mean over access groups: at most 1.
double table_mass(const CostModel& model, int t);

/// Price of one row of given features.
double price_of(const std::vector<double>& per_feature, const double* features);

}  // namespace sparrow::placement
