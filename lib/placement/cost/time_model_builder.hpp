// Builds the time model: steps of the sequential iteration (timing.cpp) and of the overlapped one (overlapped.cpp) out
// of the same parts.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "placement/cost/cost_model.hpp"

namespace sparrow::placement {

class TimeModelBuilder {
 public:
  explicit TimeModelBuilder(const CostModel& model)
      : model_(model), tree_(model.tree()), q_(model.quantities()), switches_{tree_.depth()} {}

  TimeModel build();

 private:
  using WorkOf = int (Quantities::*)(int rank) const;
  struct Carried {  // a flow kind in one stage, and the switch of its messages
    Flow kind;
    int stage;
    int switch_index;
  };

  void begin(Phase phase, std::string name) { time_.steps.push_back({phase, std::move(name), chain_}); }
  void ports(const std::vector<Carried>& flows);
  TimeRow port_row(int e, const Port& port, Direction direction, const std::vector<Carried>& flows, bool total) const;
  // Steps of chain_: every exchange is its direct part, then its stages.
  struct Exchange {
    Phase phase;
    Flow staged, direct;
    bool outwards;       // from holders to ranks
    bool clean = false;  // only rows that move ahead
  };
  void exchange(const Exchange& flows);
  using SwitchOf = int (Switches::*)(int stage) const;
  void reduction(Flow up, Flow down, SwitchOf switch_of);
  void hash();
  void pack(Phase phase, std::string name, std::initializer_list<Flow> flows,
            std::initializer_list<WorkOf> gathered = {});
  void update(std::initializer_list<WorkOf> updated);
  void store_step(bool write);

  void sequential();
  void overlapped();  // overlapped.cpp
  void share_processors();
  void share_links();
  void share_stores();
  double dense_chain_seconds() const;
  void samples();
  double reader_seconds(int reader, double readers, std::string& resource) const;

  void totals();
  void set_switches();

  double messages(const Carried& flow, int e) const {
    const int a = tree_.ancestor(e, flow.stage), parent = tree_.domain(a).parent;
    const bool direct = flow.switch_index == switches_.direct(flow.stage) ||
                        flow.switch_index == switches_.clean_direct(flow.stage) ||
                        flow.switch_index == switches_.samples(flow.stage);
    const auto peers = direct ? tree_.ranks_in(parent) - tree_.ranks_in(a) : tree_.peers(a);
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
  void add_work(int r, TimeRow& row, double per_second, std::initializer_list<WorkOf> work) const;
  TimeRow work_row(int r, const char* name, double per_second) const;

  const CostModel& model_;
  const Tree& tree_;
  const Quantities& q_;
  Switches switches_;
  Chain chain_ = Chain::sequential;
  TimeModel time_;
};

}  // namespace sparrow::placement
