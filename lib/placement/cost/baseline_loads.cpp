// Traffic of the baselines that do not deduplicate: whole bytes between ranks, and partial sums of every sample.
#include <tuple>

#include "placement/cost/cost_model.hpp"

namespace sparrow::placement {

void add_direct(const CostModel& model, const std::vector<double>& holder_share_of, const std::vector<double>& id_bytes,
                const std::vector<double>& vector_bytes, std::vector<double>& quantities) {
  const Tree& tree = model.tree();
  const Quantities& q = model.quantities();
  const size_t n = static_cast<size_t>(tree.size());
  std::vector<double> share(n, 0), ids(n, 0), vectors(n, 0);  // of one instance of any domain
  for (int e = 0; e < tree.size(); ++e)
    for (int r : tree.at_level(tree.depth()))
      if (tree.inside(r, e)) {
        const double ranks = static_cast<double>(tree.instances_in(r, e));
        share[e] += ranks * holder_share_of[r];
        ids[e] += ranks * id_bytes[r];
        vectors[e] += ranks * vector_bytes[r];
      }
  const auto add = [&](Flow kind, int stage, int e, Direction direction, double amount) {
    quantities[q.flow(kind, stage, e, direction)] += amount;
  };
  for (int stage = 1; stage <= tree.depth(); ++stage)
    for (int e = 0; e < tree.size(); ++e) {
      if (tree.level(e) < stage) continue;
      const auto i = static_cast<size_t>(e);
      const auto a = static_cast<size_t>(tree.ancestor(e, stage)),
                 parent = static_cast<size_t>(tree.ancestor(e, stage - 1));
      const double asked = share[parent] - share[a];  // of what e's ranks want, the part that siblings of a hold
      for (const auto& [bytes, rows, back] :
           {std::tuple(&vectors, Flow::direct_rows, Flow::direct_gradients),
            std::tuple(&vectors, Flow::dirty_direct_rows, Flow::dirty_direct_gradients)}) {
        add(rows, stage, e, Direction::in, (*bytes)[i] * asked);
        add(rows, stage, e, Direction::out, share[i] * ((*bytes)[parent] - (*bytes)[a]));
        add(back, stage, e, Direction::out, (*bytes)[i] * asked);
        add(back, stage, e, Direction::in, share[i] * ((*bytes)[parent] - (*bytes)[a]));
      }
      add(Flow::direct_ids, stage, e, Direction::out, ids[i] * asked);
      add(Flow::direct_ids, stage, e, Direction::in, share[i] * (ids[parent] - ids[a]));
    }
}

void add_partial_sums(const CostModel& model, double bytes_per_sample, std::vector<double>& quantities) {
  const Tree& tree = model.tree();
  const Quantities& q = model.quantities();
  const double all = model.batch_of(0) * bytes_per_sample;
  for (int stage = 1; stage <= tree.depth(); ++stage)
    for (int e = 0; e < tree.size(); ++e) {
      if (tree.level(e) < stage) continue;
      const int a = tree.ancestor(e, stage), parent = tree.ancestor(e, stage - 1);
      const double own_a = model.batch_of(a) * bytes_per_sample, own_parent = model.batch_of(parent) * bytes_per_sample;
      const double own_e = model.batch_of(e) * bytes_per_sample;
      const double others = static_cast<double>(tree.peers(a)), sigma = tree.sigma(a), rho = tree.rho(e, a);
      // Sums for samples outside the parent are collected at a's share of it; sums for the siblings' samples go to
      // them.
      const double out = ((all - own_parent) * (1 - sigma) + own_parent - own_a) * rho;
      const double in = others * ((all - own_parent) * sigma * rho + own_e);
      const auto add = [&](Flow kind, Direction direction, double amount) {
        quantities[q.flow(kind, stage, e, direction)] += amount;
      };
      for (Flow kind : {Flow::rows, Flow::dirty_rows}) {
        add(kind, Direction::in, in);
        add(kind, Direction::out, out);
      }
      for (Flow kind : {Flow::gradients, Flow::dirty_gradients}) {
        add(kind, Direction::out, in);
        add(kind, Direction::in, out);
      }
    }
}

}  // namespace sparrow::placement
