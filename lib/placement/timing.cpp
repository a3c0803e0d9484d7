// From bytes and work to seconds: the steps of an iteration, the resources that each loads, and T (placement.hpp,
// section 4).
#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "placement/model.hpp"

namespace sparrow::placement {
namespace {

class TimeModelBuilder {
 public:
  explicit TimeModelBuilder(const CostModel& model)
      : model_(model), tree_(model.tree()), q_(model.quantities()), switches_{tree_.depth()} {}

  TimeModel build();

 private:
  struct Carried {  // a flow kind in one stage, and the switch of its messages
    Flow kind;
    int stage;
    int switch_index;
  };

  void begin(Phase phase, std::string name, bool critical = false) {
    time_.steps.push_back({phase, std::move(name), critical});
  }
  void ports(const std::vector<Carried>& flows);
  TimeRow port_row(int e, const Port& port, Direction direction, const std::vector<Carried>& flows, bool total) const;
  void exchange(Phase phase, Flow staged, Flow direct, bool outwards, bool critical);
  void reduction(Flow up, Flow down, bool critical);
  void hash();
  void pack(Phase phase, bool gather, std::initializer_list<Flow> flows);
  void update(bool critical);
  void store_step(bool write);
  void totals();
  void set_switches();

  double messages(const Carried& flow, int e) const {
    const int a = tree_.ancestor(e, flow.stage), parent = tree_.domain(a).parent;
    const auto peers = flow.switch_index >= tree_.depth() && flow.switch_index < 2 * tree_.depth()
                           ? tree_.ranks_in(parent) - tree_.ranks_in(a)
                           : tree_.peers(a);
    return static_cast<double>(tree_.ranks_in(e)) * static_cast<double>(peers);
  }
  std::string stage_name(int stage) const {
    const auto& types = tree_.at_level(stage);
    return fmt::format("stage {} ({}{})", stage, tree_.domain(types[0]).name, types.size() > 1 ? ", ..." : "");
  }
  const std::vector<int>& ranks() const { return tree_.at_level(tree_.depth()); }
  std::vector<Site> slow_sites() const;
  void add_hash(int r, TimeRow& row) const;
  void add_pack(int r, TimeRow& row, std::initializer_list<Flow> flows) const;

  const CostModel& model_;
  const Tree& tree_;
  const Quantities& q_;
  Switches switches_;
  TimeModel time_;
};

std::vector<Site> TimeModelBuilder::slow_sites() const {
  std::vector<Site> result;
  for (int d = 0; d < tree_.size(); ++d)
    for (int s = 0; s < static_cast<int>(tree_.domain(d).stores.size()); ++s)
      if (!tree_.is_device({d, s})) result.push_back({d, s});
  return result;
}

TimeRow TimeModelBuilder::port_row(int e, const Port& port, Direction direction, const std::vector<Carried>& flows,
                                   bool total) const {
  TimeRow row;
  row.resource = fmt::format("{} {} {}", tree_.path(e), port.name, direction == Direction::in ? "in" : "out");
  row.kind = "bandwidth";
  row.amount_per_second = direction == Direction::in ? port.in_bytes_per_s : port.out_bytes_per_s;
  row.step = total ? -1 : static_cast<int>(time_.steps.size()) - 1;
  const int last = port.last_stage == 0 ? tree_.level(e) : port.last_stage;
  int last_used = 0;
  for (const Carried& flow : flows)
    if (flow.stage >= port.first_stage && flow.stage <= last && flow.stage <= tree_.level(e))
      last_used = std::max(last_used, flow.stage);
  for (const Carried& flow : flows) {
    if (flow.stage < port.first_stage || flow.stage > last || flow.stage > tree_.level(e)) continue;
    row.terms.emplace_back(q_.flow(flow.kind, flow.stage, e, direction), 1 / row.amount_per_second);
    // The latency once: used stages reach up from the last one, so the last one carried is on when any is. It does not
    // occupy the port.
    const double latency = flow.stage == last_used && !total ? port.latency_s : 0;
    const double seconds = latency + port.overhead_s * messages(flow, e);
    if (seconds > 0) row.switch_seconds.emplace_back(flow.switch_index, seconds);
  }
  return row;
}

void TimeModelBuilder::ports(const std::vector<Carried>& flows) {
  for (int e = 1; e < tree_.size(); ++e)
    for (const Port& port : tree_.domain(e).ports)
      for (Direction direction : {Direction::in, Direction::out}) {
        TimeRow row = port_row(e, port, direction, flows, false);
        if (!row.terms.empty()) time_.rows.push_back(std::move(row));
      }
}

void TimeModelBuilder::exchange(Phase phase, Flow staged, Flow direct, bool outwards, bool critical) {
  std::vector<Carried> all;
  for (int stage = 1; stage <= tree_.depth(); ++stage) all.push_back({direct, stage, switches_.direct(stage)});
  begin(phase, "direct", critical);
  ports(all);
  for (int i = 1; i <= tree_.depth(); ++i) {
    const int stage = outwards ? i : tree_.depth() + 1 - i;
    begin(phase, stage_name(stage), critical);
    ports({{staged, stage, switches_.staged(stage)}});
  }
}

void TimeModelBuilder::reduction(Flow up, Flow down, bool critical) {
  for (int stage = tree_.depth(); stage >= 1; --stage) {
    begin(Phase::reduction, "up " + stage_name(stage), critical);
    ports({{up, stage, switches_.reduce(stage)}});
  }
  for (int stage = 1; stage <= tree_.depth(); ++stage) {
    begin(Phase::reduction, "down " + stage_name(stage), critical);
    ports({{down, stage, switches_.reduce(stage)}});
  }
}

void TimeModelBuilder::add_hash(int r, TimeRow& row) const {
  const double per_id = 1 / tree_.domain(r).work.hash_ids_per_s;
  row.constant += model_.lookups_per_sample() * model_.batch_of(r) * per_id;
  const double id_bytes = static_cast<double>(model_.workload().id_bytes);
  if (id_bytes == 0) return;
  for (int stage = 1; stage <= tree_.depth(); ++stage)
    for (Flow kind : {Flow::ids, Flow::direct_ids})
      row.terms.emplace_back(q_.flow(kind, stage, r, Direction::in), per_id / id_bytes);
}

void TimeModelBuilder::add_pack(int r, TimeRow& row, std::initializer_list<Flow> flows) const {
  for (int stage = 1; stage <= tree_.depth(); ++stage)
    for (Flow kind : flows)
      for (Direction direction : {Direction::in, Direction::out})
        row.terms.emplace_back(q_.flow(kind, stage, r, direction), 1 / tree_.domain(r).work.pack_bytes_per_s);
}

void TimeModelBuilder::hash() {
  begin(Phase::ids, "hash");
  for (int r : ranks()) {
    if (std::isinf(tree_.domain(r).work.hash_ids_per_s)) continue;
    TimeRow row{static_cast<int>(time_.steps.size()) - 1,
                tree_.path(r) + " hash",
                "work",
                tree_.domain(r).work.hash_ids_per_s,
                {},
                {},
                0};
    add_hash(r, row);
    time_.rows.push_back(std::move(row));
  }
}

void TimeModelBuilder::pack(Phase phase, bool gather, std::initializer_list<Flow> flows) {
  begin(phase, gather ? "gather" : "pack");
  for (int r : ranks()) {
    const WorkRates& work = tree_.domain(r).work;
    TimeRow row{static_cast<int>(time_.steps.size()) - 1,
                tree_.path(r) + (gather ? " gather" : " pack"),
                "work",
                gather ? work.gather_bytes_per_s : work.pack_bytes_per_s,
                {},
                {},
                0};
    if (gather && !std::isinf(work.gather_bytes_per_s))
      row.terms.emplace_back(q_.gather(r), 1 / work.gather_bytes_per_s);
    if (!std::isinf(work.pack_bytes_per_s)) add_pack(r, row, flows);
    if (!row.terms.empty()) time_.rows.push_back(std::move(row));
  }
}

void TimeModelBuilder::update(bool critical) {
  begin(Phase::update, "update", critical);
  for (int r : ranks()) {
    const double rate = tree_.domain(r).work.update_bytes_per_s;
    if (std::isinf(rate)) continue;
    time_.rows.push_back({static_cast<int>(time_.steps.size()) - 1,
                          tree_.path(r) + " update",
                          "work",
                          rate,
                          {{critical ? q_.dirty_update(r) : q_.update(r), 1 / rate}},
                          {},
                          0});
  }
}

void TimeModelBuilder::store_step(bool write) {
  begin(write ? Phase::update : Phase::fetch, write ? "write back" : "fetch");
  const std::vector<Site> sites = slow_sites();
  for (size_t i = 0; i < sites.size(); ++i) {
    const Store& store = tree_.store(sites[i]);
    TimeRow row{
        static_cast<int>(time_.steps.size()) - 1, tree_.site_name(sites[i]), "bandwidth", store.bytes_per_s, {}, {}, 0};
    row.terms.emplace_back(write ? q_.store_write(sites[i]) : q_.store_read(sites[i]), 1 / store.bytes_per_s);
    if (store.latency_s > 0) row.switch_seconds.emplace_back(switches_.store(static_cast<int>(i)), store.latency_s);
    time_.rows.push_back(std::move(row));
  }
}

void TimeModelBuilder::totals() {
  std::vector<Carried> flows;
  for (int stage = 1; stage <= tree_.depth(); ++stage) {
    for (Flow kind : {Flow::ids, Flow::rows, Flow::gradients}) flows.push_back({kind, stage, switches_.staged(stage)});
    for (Flow kind : {Flow::direct_ids, Flow::direct_rows, Flow::direct_gradients})
      flows.push_back({kind, stage, switches_.direct(stage)});
    for (Flow kind : {Flow::up, Flow::down}) flows.push_back({kind, stage, switches_.reduce(stage)});
  }
  for (int e = 1; e < tree_.size(); ++e)
    for (const Port& port : tree_.domain(e).ports)
      for (Direction direction : {Direction::in, Direction::out}) {
        TimeRow row = port_row(e, port, direction, flows, true);
        if (!row.terms.empty()) time_.totals.push_back(std::move(row));
      }
  for (int r : ranks()) {
    const Domain& domain = tree_.domain(r);
    TimeRow row{-1, tree_.path(r) + " compute", "work", domain.flops_per_s, {}, {}, 0};
    row.constant = model_.workload().flops_per_sample * model_.batch_of(r) / domain.flops_per_s;
    if (!std::isinf(domain.work.hash_ids_per_s)) add_hash(r, row);
    if (!std::isinf(domain.work.gather_bytes_per_s))
      row.terms.emplace_back(q_.gather(r), 1 / domain.work.gather_bytes_per_s);
    if (!std::isinf(domain.work.pack_bytes_per_s))
      add_pack(r, row, {Flow::rows, Flow::direct_rows, Flow::gradients, Flow::direct_gradients, Flow::up, Flow::down});
    if (!std::isinf(domain.work.update_bytes_per_s))
      row.terms.emplace_back(q_.update(r), 1 / domain.work.update_bytes_per_s);
    time_.totals.push_back(std::move(row));
  }
  for (Site site : slow_sites()) {
    const double rate = tree_.store(site).bytes_per_s;
    time_.totals.push_back({-1,
                            tree_.site_name(site),
                            "bandwidth",
                            rate,
                            {{q_.store_read(site), 1 / rate}, {q_.store_write(site), 1 / rate}},
                            {},
                            0});
  }
}

void TimeModelBuilder::set_switches() {
  const std::vector<Site> sites = slow_sites();
  time_.switch_quantities.resize(static_cast<size_t>(switches_.store(static_cast<int>(sites.size()))));
  for (int stage = 1; stage <= tree_.depth(); ++stage)
    for (int a : tree_.at_level(stage))
      for (Direction direction : {Direction::in, Direction::out}) {
        const auto add = [&](int index, Flow kind) {
          time_.switch_quantities[static_cast<size_t>(index)].push_back(q_.flow(kind, stage, a, direction));
        };
        add(switches_.staged(stage), Flow::rows);
        add(switches_.staged(stage), Flow::ids);
        add(switches_.direct(stage), Flow::direct_rows);
        add(switches_.direct(stage), Flow::direct_ids);
        add(switches_.reduce(stage), Flow::up);
        add(switches_.reduce(stage), Flow::down);
      }
  for (size_t i = 0; i < sites.size(); ++i)
    time_.switch_quantities[static_cast<size_t>(switches_.store(static_cast<int>(i)))].push_back(q_.memory(sites[i]));
}

TimeModel TimeModelBuilder::build() {
  hash();
  exchange(Phase::ids, Flow::ids, Flow::direct_ids, false, false);
  store_step(false);
  pack(Phase::forward, true, {Flow::rows, Flow::direct_rows});
  exchange(Phase::forward, Flow::rows, Flow::direct_rows, true, false);
  pack(Phase::backward, false, {Flow::gradients, Flow::direct_gradients, Flow::up, Flow::down});
  exchange(Phase::backward, Flow::gradients, Flow::direct_gradients, false, false);
  reduction(Flow::up, Flow::down, false);
  update(false);
  store_step(true);

  exchange(Phase::backward, Flow::dirty_gradients, Flow::dirty_direct_gradients, false, true);
  reduction(Flow::dirty_up, Flow::dirty_down, true);
  update(true);
  exchange(Phase::forward, Flow::dirty_rows, Flow::dirty_direct_rows, true, true);

  totals();
  set_switches();
  for (int r : ranks())
    time_.compute_seconds = std::max(
        time_.compute_seconds, model_.workload().flops_per_sample * model_.batch_of(r) / tree_.domain(r).flops_per_s);
  return std::move(time_);
}

}  // namespace

TimeModel make_time_model(const CostModel& model) {
  return TimeModelBuilder(model).build();
}

}  // namespace sparrow::placement
