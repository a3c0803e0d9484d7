#!/usr/bin/env python3
"""assignment_partitioner.py FILE PARTS IMBALANCE: a hypergraph partitioner's answer for a batch, with mtkahypar where it is installed.

FILE has a line per row: the samples that look it up, or h<rank> for the rank that holds it. Samples are numbered from 0. Prints
"moves SECONDS", the rows that come to ranks from elsewhere, or "skipped: WHY". (km1 - 1 of an edge: ranks but one, the holder among them.)
"""
import sys
import time


def main():
    try:
        import mtkahypar
    except ImportError:
        print("skipped: no module mtkahypar (pip install mtkahypar)")
        return
    path, parts, imbalance = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    edges, samples = [], 0
    with open(path) as lines:
        for line in lines:
            words = line.split()
            edges.append([-1 - int(w[1:]) if w[0] == "h" else int(w) for w in words])
            samples = max(samples, max(edges[-1]) + 1)
    edges = [[samples - 1 - node if node < 0 else node for node in edge] for edge in edges]  # holders behind the samples
    edges = [edge for edge in edges if len(edge) > 1]
    kahypar = mtkahypar.initialize(1)
    context = kahypar.context_from_preset(mtkahypar.PresetType.QUALITY)
    context.set_partitioning_parameters(parts, imbalance, mtkahypar.Objective.KM1)
    context.logging = False
    weights = [1000] * samples + [1] * parts
    graph = kahypar.create_hypergraph(context, samples + parts, len(edges), edges, weights, [1] * len(edges))
    graph.add_fixed_vertices([-1] * samples + list(range(parts)), parts)
    begin = time.process_time()
    partitioned = graph.partition(context)
    print(partitioned.km1(), time.process_time() - begin)


main()
