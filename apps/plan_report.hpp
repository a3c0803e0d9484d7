// How an answer of `sparrow plan` is shown: for people, and as JSON.
#pragma once

#include <string>
#include <vector>

#include "plan_request.hpp"

namespace sparrow {

/// What lives where: copies in device memory by level (0: held, L: replicated), and rows in slower stores.
struct Places {
  std::vector<double> by_level;
  double offloaded = 0;
  double total() const;
  void add(const Places& other, double weight);
};
struct TablePlaces {
  Places rows, lookups;  ///< numbers of rows; share of the table's lookups
};
std::vector<TablePlaces> places_of(const PlanAnswer& answer);
/// "held", "per node", "replicated", in order of level.
std::vector<std::string> place_names(const placement::Tree& tree);

/// What a limit costs, as a sentence.
struct PriceSentence {
  placement::Price price;
  double seconds = 0;  ///< saved by what the sentence names
  std::string sentence;
};
/// The dearest first; those below a thousandth of the time are left out. Of the optimum, whatever strategy is shown.
std::vector<PriceSentence> price_sentences(const PlanAnswer& answer);

/// Bytes of rows, gradients and reductions of rows that all ranks together send in an iteration; what the floor bounds.
double row_bytes_sent(const PlanAnswer& answer, const placement::Cost& cost);

/// Bytes that a rank sends in a phase (mean over ranks).
double sent_in_phase(const placement::Cost& cost, Phase phase);

std::string plan_text(const PlanRequest& request, const PlanAnswer& answer);
std::string plan_json_text(const PlanRequest& request, const PlanAnswer& answer);
/// The price of every option of one row. Throws Error for a table or position that does not exist.
std::string explain_text(const PlanRequest& request, const PlanAnswer& answer);

/// Runs the sweep and returns its CSV.
std::string sweep_csv(const PlanRequest& request);

}  // namespace sparrow
