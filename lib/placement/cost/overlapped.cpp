// The overlapped iteration k: beside its computation up to the gradients of the bags, one communication lane per rank
// moves the clean gradients of batch k - 1, the ids of k + 1 and its clean rows. Behind that it moves the gradients of
// the dirty rows, updates them and moves them to where k + 1 needs them, while the rest is computed beside it, the
// dense parameters' gradients are reduced and the bottom MLP of k + 1 runs. Links and processors are shared
// (placement.hpp, section 4).
#include <algorithm>
#include <cmath>

#include "placement/cost/time_model_builder.hpp"

namespace sparrow::placement {

void TimeModelBuilder::overlapped() {
  chain_ = Chain::beside;
  pack(Phase::gradients, "pack clean", {Flow::clean_gradients, Flow::clean_direct_gradients});
  exchange({Phase::gradients, Flow::clean_gradients, Flow::clean_direct_gradients, false, true});
  update({&Quantities::clean_update});
  hash();
  exchange({Phase::ids, Flow::ids, Flow::direct_ids, false});
  pack(Phase::rows, "gather clean", {Flow::clean_rows, Flow::clean_direct_rows}, {&Quantities::clean_gather});
  exchange({Phase::rows, Flow::clean_rows, Flow::clean_direct_rows, true, true});

  chain_ = Chain::behind;
  pack(Phase::gradients, "pack dirty",
       {Flow::dirty_gradients, Flow::dirty_direct_gradients, Flow::dirty_up, Flow::dirty_down});
  exchange({Phase::gradients, Flow::dirty_gradients, Flow::dirty_direct_gradients, false});
  reduction(Flow::dirty_up, Flow::dirty_down, &Switches::copies);
  update({&Quantities::dirty_update});
  pack(Phase::rows, "gather dirty", {Flow::dirty_rows, Flow::dirty_direct_rows}, {&Quantities::dirty_gather});
  exchange({Phase::rows, Flow::dirty_rows, Flow::dirty_direct_rows, true});

  chain_ = Chain::dense;
  pack(Phase::allreduce, "pack dense", {Flow::dense_up, Flow::dense_down});
  reduction(Flow::dense_up, Flow::dense_down, &Switches::dense);
  update({&Quantities::dense_update});

  time_.dense_seconds = time_.compute_behind_seconds + dense_chain_seconds();
  share_processors();
  share_links();
  share_stores();
}

/// Only the dense parameters are in it, so it is known before any row is placed.
double TimeModelBuilder::dense_chain_seconds() const {
  std::vector<double> longest(time_.steps.size(), 0);
  for (const TimeRow& row : time_.rows) {
    if (time_.steps[row.step].chain != Chain::dense) continue;
    double seconds = 0;
    for (const auto& [quantity, per_unit] : row.terms) seconds += per_unit * model_.base()[quantity];
    for (const auto& [index, latency] : row.switch_seconds)
      for (int quantity : time_.switch_quantities[index])
        if (model_.base()[quantity] > 0) {
          seconds += latency;
          break;
        }
    longest[row.step] = std::max(longest[row.step], seconds);
  }
  double sum = 0;
  for (double seconds : longest) sum += seconds;
  return sum;
}

/// A rank computes and serves its communication lane with the same processor.
void TimeModelBuilder::share_processors() {
  for (int r : ranks()) {
    const Domain& domain = tree_.domain(r);
    TimeRow beside{-1, tree_.path(r) + " compute", "work", domain.flops_per_s, {}, {}, 0}, behind = beside;
    const double samples_per_flop = model_.batch_of(r) / domain.flops_per_s;
    behind.constant = model_.workload().flops_behind_per_sample * samples_per_flop;
    beside.constant = model_.workload().flops_per_sample * samples_per_flop - behind.constant;
    add_hash(r, beside);
    add_work(r, beside, domain.work.gather_bytes_per_s, {&Quantities::bags, &Quantities::clean_gather});
    add_pack(r, beside,
             {Flow::clean_gradients, Flow::clean_direct_gradients, Flow::clean_rows, Flow::clean_direct_rows});
    add_work(r, beside, domain.work.update_bytes_per_s, {&Quantities::clean_update});
    time_.shared.push_back({Window::beside, std::move(beside)});
    add_work(r, behind, domain.work.gather_bytes_per_s, {&Quantities::dirty_gather});
    add_pack(r, behind,
             {Flow::dirty_gradients, Flow::dirty_direct_gradients, Flow::dirty_up, Flow::dirty_down, Flow::dirty_rows,
              Flow::dirty_direct_rows, Flow::dense_up, Flow::dense_down});
    add_work(r, behind, domain.work.update_bytes_per_s, {&Quantities::dirty_update, &Quantities::dense_update});
    if (!behind.terms.empty()) time_.shared.push_back({Window::behind, std::move(behind)});
  }
}

/// Within a chain one exchange follows another; only the dense chain competes for links.
void TimeModelBuilder::share_links() {
  if (model_.workload().dense_bytes <= 0) return;
  TimeRow dense{-1, "dense parameters", "work", 1, {}, {}, time_.dense_seconds};
  time_.shared.push_back({Window::behind, std::move(dense)});
  std::vector<Carried> flows;
  for (int stage = 1; stage <= tree_.depth(); ++stage) {
    for (Flow kind : {Flow::dirty_gradients, Flow::dirty_rows}) flows.push_back({kind, stage, switches_.staged(stage)});
    for (Flow kind : {Flow::dirty_direct_gradients, Flow::dirty_direct_rows})
      flows.push_back({kind, stage, switches_.direct(stage)});
    for (Flow kind : {Flow::dirty_up, Flow::dirty_down}) flows.push_back({kind, stage, switches_.copies(stage)});
    for (Flow kind : {Flow::dense_up, Flow::dense_down}) flows.push_back({kind, stage, switches_.dense(stage)});
  }
  for (int e = 1; e < tree_.size(); ++e)
    for (const Port& port : tree_.domain(e).ports)
      for (Direction direction : {Direction::in, Direction::out}) {
        TimeRow row = port_row(e, port, direction, flows, true);
        if (!row.terms.empty()) time_.shared.push_back({Window::behind, std::move(row)});
      }
}

/// Slower stores are read ahead and written back in the background.
void TimeModelBuilder::share_stores() {
  for (Site site : slow_sites()) {
    const double rate = tree_.store(site).bytes_per_s;
    TimeRow row{-1, tree_.site_name(site), "bandwidth", rate, {}, {}, 0};
    row.terms = {{q_.store_read(site), 1 / rate}, {q_.store_write(site), 1 / rate}};
    time_.shared.push_back({Window::whole, std::move(row)});
  }
}

}  // namespace sparrow::placement
