// Small machines and workloads for the tests of lib/placement.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "access/distributions.hpp"
#include "placement/cost/cost_model.hpp"
#include "placement/solve/solve.hpp"

namespace sparrow::placement {

using sparrow::from_law, sparrow::Law, sparrow::parse_law;

/// A port of equal bandwidth both ways.
Port port(double bytes_per_s, double latency_s = 0, double overhead_s = 0);
Store memory(const std::string& name, int64_t capacity, double bytes_per_s = 1e9, double latency_s = 0,
             int64_t granule = 1);
Domain domain(const std::string& name, int parent, int64_t count, std::vector<Port> ports,
              std::vector<Store> stores = {});

/// `ranks` equal ranks with `capacity` bytes each.
Topology flat(int64_t ranks, int64_t capacity, double bandwidth = 1e9);
/// `nodes` nodes of `ranks`, host memory on the nodes when host_capacity > 0.
Topology two_level(int64_t nodes, int64_t ranks, int64_t capacity, int64_t host_capacity = 0);
/// Three levels with unequal children at two of them, unequal ranks and batches.
Topology unequal_three_level(int64_t capacity);
/// Random trees of 1 to 4 levels, domains and ranks of several types, with or without slower stores and latencies.
Topology random_topology(std::mt19937_64& random, double bytes_needed);

Table table(const std::string& name, TableDistribution access, double lookups = 1, int64_t row_bytes = 64,
            int64_t state_bytes = 4);
Workload workload(std::vector<Table> tables, int64_t batch);
/// Random tables of few classes.
Workload random_workload(std::mt19937_64& random, int tables);

/// What assigning samples to the rows of so many tables might do, on a tree of `levels` levels.
Locality random_locality(std::mt19937_64& random, int tables, int levels);

/// Sum of all probabilities.
double mass_of(const TableDistribution& access);
/// Distinct rows expected of so many draws.
double distinct_of(const TableDistribution& access, double draws);

double bytes_needed(const Workload& workload);
double uniform(std::mt19937_64& random, double low, double high);
int64_t integer(std::mt19937_64& random, int64_t low, int64_t high);

}  // namespace sparrow::placement
