// From bytes and work to seconds: the steps of an iteration, the resources that each loads, and T (placement.hpp,
// section 4).
#include <algorithm>
#include <cmath>

#include "placement/cost/time_model_builder.hpp"
#include "placement/model/plan.hpp"

namespace sparrow::placement {

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
  row.level = tree_.level(e);
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

void TimeModelBuilder::exchange(const Exchange& flows) {
  std::vector<Carried> all;
  for (int stage = 1; stage <= tree_.depth(); ++stage)
    all.push_back({flows.direct, stage, flows.clean ? switches_.clean_direct(stage) : switches_.direct(stage)});
  begin(flows.phase, "direct");
  ports(all);
  for (int i = 1; i <= tree_.depth(); ++i) {
    const int stage = flows.outwards ? i : tree_.depth() + 1 - i;
    begin(flows.phase, stage_name(stage));
    ports({{flows.staged, stage, flows.clean ? switches_.clean_staged(stage) : switches_.staged(stage)}});
  }
}

void TimeModelBuilder::reduction(Flow up, Flow down, SwitchOf switch_of) {
  for (int stage = tree_.depth(); stage >= 1; --stage) {
    begin(Phase::allreduce, "up " + stage_name(stage));
    ports({{up, stage, (switches_.*switch_of)(stage)}});
  }
  for (int stage = 1; stage <= tree_.depth(); ++stage) {
    begin(Phase::allreduce, "down " + stage_name(stage));
    ports({{down, stage, (switches_.*switch_of)(stage)}});
  }
}

void TimeModelBuilder::add_hash(int r, TimeRow& row) const {
  const WorkRates& work = tree_.domain(r).work;
  add_work(r, row, work.list_ids_per_s, {&Quantities::listed});
  const double per_id = 1 / work.hash_ids_per_s;
  if (per_id == 0) return;
  row.constant += model_.lookups_per_sample() * model_.batch_of(r) * per_id;
  const double id_bytes = static_cast<double>(model_.workload().id_bytes);
  if (id_bytes == 0) return;
  for (int stage = 1; stage <= tree_.depth(); ++stage)
    for (Flow kind : {Flow::ids, Flow::direct_ids})
      row.terms.emplace_back(q_.flow(kind, stage, r, Direction::in), per_id / id_bytes);
}

void TimeModelBuilder::add_pack(int r, TimeRow& row, std::initializer_list<Flow> flows) const {
  const double per_byte = 1 / tree_.domain(r).work.pack_bytes_per_s;
  for (int stage = 1; stage <= tree_.depth() && per_byte > 0; ++stage)
    for (Flow kind : flows)
      for (Direction direction : {Direction::in, Direction::out})
        row.terms.emplace_back(q_.flow(kind, stage, r, direction), per_byte);
}

void TimeModelBuilder::add_work(int r, TimeRow& row, double per_second, std::initializer_list<WorkOf> work) const {
  if (std::isinf(per_second)) return;
  for (WorkOf quantity : work) row.terms.emplace_back((q_.*quantity)(r), 1 / per_second);
}

TimeRow TimeModelBuilder::work_row(int r, const char* name, double per_second) const {
  return {static_cast<int>(time_.steps.size()) - 1,
          tree_.path(r) + " " + name,
          "work",
          per_second,
          {},
          {},
          0,
          tree_.depth()};
}

void TimeModelBuilder::hash() {
  begin(Phase::ids, "hash");
  for (int r : ranks()) {
    TimeRow row = work_row(r, "hash", tree_.domain(r).work.hash_ids_per_s);
    add_hash(r, row);
    if (row.constant > 0 || !row.terms.empty()) time_.rows.push_back(std::move(row));
  }
}

void TimeModelBuilder::pack(Phase phase, std::string name, std::initializer_list<Flow> flows,
                            std::initializer_list<WorkOf> gathered) {
  const bool gathers = gathered.size() > 0;
  begin(phase, std::move(name));
  for (int r : ranks()) {
    const WorkRates& work = tree_.domain(r).work;
    TimeRow row = work_row(r, gathers ? "gather" : "pack", gathers ? work.gather_bytes_per_s : work.pack_bytes_per_s);
    add_work(r, row, work.gather_bytes_per_s, gathered);
    add_pack(r, row, flows);
    if (!row.terms.empty()) time_.rows.push_back(std::move(row));
  }
}

void TimeModelBuilder::update(std::initializer_list<WorkOf> updated) {
  begin(Phase::update, "update");
  for (int r : ranks()) {
    const double rate = tree_.domain(r).work.update_bytes_per_s;
    TimeRow row = work_row(r, "update", rate);
    add_work(r, row, rate, updated);
    if (!row.terms.empty()) time_.rows.push_back(std::move(row));
  }
}

void TimeModelBuilder::store_step(bool write) {
  begin(Phase::store, write ? "write back" : "fetch");
  time_.steps.back().written = write;
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
    if (model_.workload().locality.in_turn()) flows.push_back({Flow::samples, stage, switches_.samples(stage)});
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
    add_hash(r, row);
    add_work(r, row, domain.work.gather_bytes_per_s, {&Quantities::bags, &Quantities::gather});
    add_pack(r, row, {Flow::rows, Flow::direct_rows, Flow::gradients, Flow::direct_gradients, Flow::up, Flow::down});
    add_work(r, row, domain.work.update_bytes_per_s, {&Quantities::update, &Quantities::dense_update});
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
  time_.switch_quantities.resize(switches_.store(static_cast<int>(sites.size())));
  for (int stage = 1; stage <= tree_.depth(); ++stage)
    for (int a : tree_.at_level(stage))
      for (Direction direction : {Direction::in, Direction::out}) {
        const std::pair<int, Flow> carried[] = {
            {switches_.staged(stage), Flow::rows},
            {switches_.staged(stage), Flow::ids},
            {switches_.direct(stage), Flow::direct_rows},
            {switches_.direct(stage), Flow::direct_ids},
            {switches_.reduce(stage), Flow::up},
            {switches_.reduce(stage), Flow::down},
            {switches_.clean_staged(stage), Flow::clean_rows},
            {switches_.clean_direct(stage), Flow::clean_direct_rows},
            {switches_.copies(stage), Flow::dirty_up},
            {switches_.copies(stage), Flow::dirty_down},
            {switches_.dense(stage), Flow::dense_up},
            {switches_.dense(stage), Flow::dense_down},
            {switches_.samples(stage), Flow::samples},
        };
        for (const auto& [index, kind] : carried)
          time_.switch_quantities[index].push_back(q_.flow(kind, stage, a, direction));
      }
  for (size_t i = 0; i < sites.size(); ++i)
    time_.switch_quantities[switches_.store(static_cast<int>(i))].push_back(q_.memory(sites[i]));
}

void TimeModelBuilder::sequential() {
  chain_ = Chain::sequential;
  hash();
  exchange({Phase::ids, Flow::ids, Flow::direct_ids, false});
  store_step(false);
  pack(Phase::rows, "gather", {Flow::rows, Flow::direct_rows}, {&Quantities::bags, &Quantities::gather});
  exchange({Phase::rows, Flow::rows, Flow::direct_rows, true});
  pack(Phase::gradients, "pack", {Flow::gradients, Flow::direct_gradients, Flow::up, Flow::down});
  exchange({Phase::gradients, Flow::gradients, Flow::direct_gradients, false});
  reduction(Flow::up, Flow::down, &Switches::reduce);
  update({&Quantities::update, &Quantities::dense_update});
  store_step(true);
}

/// Seconds of the busiest port in an iteration, while readers, some of them of this type, send samples. A batch leaves its
/// reader in pieces over as many iterations, while others send pieces of theirs (assign/assigned_batches.hpp).
double TimeModelBuilder::reader_seconds(int reader, double readers, std::string& resource) const {
  const Locality& locality = model_.workload().locality;
  const double pieces = std::min<double>(SampleAssignment::kMostPieces, readers);
  double longest = 0;
  const auto busy = [&](int e, const Port& port, Direction way, double bytes, double messages) {
    const double rate = way == Direction::out ? port.out_bytes_per_s : port.in_bytes_per_s;
    const double seconds = bytes > 0 ? bytes / rate + port.overhead_s * messages : 0;
    if (seconds <= longest) return;
    longest = seconds;
    resource = fmt::format("{} {} {}", tree_.path(e), port.name, way == Direction::out ? "out" : "in");
  };
  const auto bytes_to = [&](double batch, double ranks) {
    return batch * locality.sample_bytes + ranks * locality.new_holder_bytes;
  };
  for (int e = 1; e < tree_.size(); ++e)
    for (const Port& port : tree_.domain(e).ports) {
      const int last = port.last_stage == 0 ? tree_.level(e) : port.last_stage;
      double batch = 0, ranks = 0;  // that are reached through the port
      for (int stage = port.first_stage; stage <= std::min(last, tree_.level(e)); ++stage) {
        const int a = tree_.ancestor(reader, stage), parent = tree_.domain(a).parent;
        if (tree_.inside(reader, e)) {
          batch += model_.batch_of(parent) - model_.batch_of(a);
          ranks += static_cast<double>(tree_.ranks_in(parent) - tree_.ranks_in(a));
        }
        // To one instance of e beside a.
        const bool beside = tree_.inside(e, parent) && (!tree_.inside(e, a) || tree_.peers(a) > 0);
        const auto received = static_cast<double>(tree_.ranks_in(e));
        if (beside) busy(e, port, Direction::in, bytes_to(model_.batch_of(e), received), received);
      }
      const double sending = std::min(pieces, static_cast<double>(tree_.ranks_in(e))) / pieces;
      busy(e, port, Direction::out, bytes_to(batch * sending, ranks), ranks);
    }
  return longest;
}

/// Samples of a batch are sent while ones before it are trained.
void TimeModelBuilder::samples() {
  const Locality& locality = model_.workload().locality;
  if (!locality.in_turn()) return;
  double readers = 0, longest = 0;
  for (int r : ranks())
    if (model_.batch_of(r) > 0) readers += static_cast<double>(tree_.instances(r));
  for (int r : ranks()) {
    if (model_.batch_of(r) <= 0) continue;
    const auto instances = static_cast<double>(tree_.instances(r));
    std::string resource;
    const double seconds = reader_seconds(r, readers, resource);
    time_.samples_seconds += instances * seconds;
    if (seconds > longest) longest = seconds, time_.samples_resource = resource;
  }
  time_.samples_seconds /= readers;
  if (locality.local)
    time_.assign_seconds = locality.assigning_seconds(static_cast<double>(model_.workload().global_batch)) / readers;
  if (!locality.on_own_cores) time_.shared_seconds = time_.assign_seconds;
}

TimeModel TimeModelBuilder::build() {
  for (int r : ranks()) {
    const double samples_per_flop = model_.batch_of(r) / tree_.domain(r).flops_per_s;
    time_.compute_seconds = std::max(time_.compute_seconds, model_.workload().flops_per_sample * samples_per_flop);
    time_.compute_behind_seconds =
        std::max(time_.compute_behind_seconds, model_.workload().flops_behind_per_sample * samples_per_flop);
  }
  set_switches();
  sequential();
  overlapped();
  samples();
  totals();
  return std::move(time_);
}

TimeModel make_time_model(const CostModel& model) {
  return TimeModelBuilder(model).build();
}

}  // namespace sparrow::placement
