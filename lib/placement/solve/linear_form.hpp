// A family of placements as linear forms: its options, its coupling rows, and what one row of a table adds to each of
// them. Prices of the coupling rows give every option a cost per class, and with it a lower bound for the whole family
// (the Lagrangian, table_pricing.hpp).
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "placement/cost/cost_model.hpp"
#include "placement/solve/family.hpp"

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
  const Matrix* matrix = nullptr;    ///< of tables that are whole: without pairs
  const Matrix* per_pair = nullptr;  ///< pooled: what one more pair per unit of mass adds
};

/// Prices: seconds per second of each time row, seconds per byte of each memory row; when overlapped one more at the
/// end for each part of the iteration: of the sum of its steps.
using Prices = std::vector<double>;

class LinearForm {
 public:
  LinearForm(const CostModel& model, const SolveOptions& settings, const FamilyLimits& limits,
             const std::vector<std::vector<double>>& extra_bytes);

  const CostModel& model() const { return model_; }
  const FamilyLimits& limits() const { return limits_; }
  const std::vector<Option>& options() const { return options_; }
  const std::vector<CouplingRow>& rows() const { return rows_; }
  const std::vector<Variant>& variants(int t) const { return variants_[t]; }
  size_t features() const { return static_cast<size_t>(model_.features().size()); }
  /// Variables of time. Sequential: T is their sum. Overlapped: T is the sum of the last two, the parts of the
  /// iteration, and each of the others is a step of one of them.
  int taus() const { return static_cast<int>(part_of_.size()) + parts(); }
  int parts() const { return model_.workload().overlapped ? 2 : 0; }
  int part_tau(int part) const { return static_cast<int>(part_of_.size()) + part; }
  int part_of(int step) const { return part_of_[step]; }  ///< -1: sequential, or no step
  /// The variables whose sum a row must not exceed.
  std::vector<int> taus_of(const CouplingRow& row) const;
  double fixed_seconds() const { return fixed_seconds_; }  ///< compute, in the sequential sum
  /// Seconds that tables pooled along a tangent add to each row whatever is chosen: it does not pass through zero.
  const std::vector<double>& pooled_constants() const { return pooled_constants_; }
  /// Of table t: how it places rows at an option, pooled or not; rows that every rank has are never pooled elsewhere.
  const Variant& variant_of(int t, int option, bool pooled) const;

  /// The mass that an option may hold of a table that is whole: what the hottest rows that fit there have, and what the
  /// limits hold it to.
  MassInterval interval(int t, int option) const;

  /// Removes rows of a step that another row of it always exceeds.
  void drop_dominated();

  /// Scales prices down to where the dual allows them: those of a step sum to at most what a second of the step costs.
  Prices feasible(Prices price) const;
  Prices from_book(const PriceBook& book) const;
  /// Price of one row of table t, per variant and feature.
  std::vector<std::vector<double>> variant_prices(int t, const Prices& price) const;
  /// Price of one pair per sample, by access group, of a pooled variant.
  std::vector<double> pair_prices(const Variant& variant, const Prices& price) const;
  /// Least price of all rows of a table that is not whole.
  double least_price(int t, const Prices& price) const;
  /// The part of the Lagrangian that no table changes (table_pricing.hpp).
  double constant_price(const Prices& price) const;

 private:
  void find_switches();
  void add_time_row(const TimeRow& row, int step, int number);
  void add_memory_row(Site site, double extra_bytes);
  void make_rows(const std::vector<std::vector<double>>& extra_bytes);
  void make_variants();
  double mass_that_fits(int t, const Option& option) const;
  bool allowed(const Option& option, bool pooled) const;
  const Matrix& per_pair(int t, int option);
  Variant along(int t, int option);
  const Matrix& matrix(int option, Transport transport, const TableShape& shape, double factor);
  Matrix& new_matrix(int option, Transport transport, const TableShape& shape, double factor, bool& made);
  bool dominated(size_t row, size_t by) const;
  const CostModel& model_;
  const FamilyLimits& limits_;
  std::vector<Option> options_;
  std::vector<CouplingRow> rows_;
  std::vector<std::vector<Variant>> variants_;
  std::vector<double> pooled_constants_;
  std::vector<std::vector<double>> most_mass_;  // by table and option
  std::vector<bool> switch_on_;                 // messages or stores that some option of the family uses
  std::vector<int> part_of_;                    // by step
  double fixed_seconds_ = 0;
  std::map<std::tuple<int, Transport, TableShape, double>, Matrix> matrices_;
};

/// Price of one row of given features.
double price_of(const std::vector<double>& per_feature, const double* features);

}  // namespace sparrow::placement
