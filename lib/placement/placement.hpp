// Where every embedding row lives: the model, its formulas, and how the best placement is found and proven. Includes
// all of lib/placement, which is pure: standard library and lib/base, no MPI, no CUDA, no clock, no threads; the same
// input gives the same plan everywhere.
//
// After the observation of V. Erdogan et al., "Stochastic Communication Avoidance for Recommendation Systems" (IEEE CAI
// 2024, arXiv:2411.01611) that row accesses are random with a known distribution, so that expected communication can be
// written down and minimised. Model and method are ours; known parts are named where they are used.
//
// 1. Notation
//
//   tree       root = level 0, ranks = level L; a domain is an inner vertex (topology.hpp)
//   t, i, p_i  table, row, probability that one lookup hits the row; h_t lookups of a sample (distribution.hpp)
//   w, s, id   bytes of a row, of its optimiser state, of an id; w on the wire may be half of w in memory
//   b_a        samples of one iteration in domain (or rank) a
//   v(a)       = 1 - prod over ranks r in a of (1 - p_{i,r})^(h b_r), the probability that a touches the row;
//              q = v(rank), u = v(root). Written with expm1 and log1p: p = 1e-9 keeps its digits.
//   sigma(a)   share of its parent's rows for which a is the proxy; by default a's share of the ranks that may hold
//   rho(e|a)   product of sigma from just below a down to e
//   H_D(x)     probability that the copy of domain D lives in x: slots of its site inside x over those inside D. Where
//              the slot is a store above x, times rho(x|slot): some rank below the store reads and writes for it.
//
// 2. Placements (cost.hpp)
//
// Every row takes an option: a level l with one copy in each domain of that level, the site in each domain type where
// the copy lives, and how the copies are kept equal. l = L: replicated; l = 0: held, or fetched where the site is a
// slower store. Every table has a transport: staged (deduplicated at every level), direct (per rank), pooled (bags summed
// at the holder), or partial sums (of every bag, from every rank).
//
// 3. Expected flows of one row
//
// Stage j is the exchange among level-j siblings; e is a, or below it: the ports of e carry what passes through e.
//
//   staged, level(a) > l, P the parent of a, S = H(a) + (1 - H(P)) sigma(a) the probability that the row comes from a:
//     into e    v(a) (1 - S) rho(e|a) w
//     out of e  [H(e) + (1 - H(P)) sigma(a) rho(e|a)] * sum over siblings a' of v(a') w
//     Gradients flow the other way in the same amounts; ids likewise, with id instead of w. With H made of sigma alone,
//     S = sigma(a). A place of its own for the holder, H, lets the optimiser choose among unequal ranks.
//   direct:
//     into e    (H(P) - H(a)) * sum over ranks r in e of q_r w
//     out of e  H(e) * sum over ranks r of P outside a of q_r w
//   pooled: as direct, with b_r k (1 - (1 - m/k)^h) vectors instead of the rows, when rows of mass m are spread over k
//     holders.
//     Only rows with one copy are pooled; those of copies between come directly. A byte per vector says of how many
//     lookups it is. Partial sums: a vector per sample from every rank.
//   Below, sigma(a) is 1 / (children of the parent): who adds up for a domain is drawn per row. Of a plan H, rho and
//   the pairs are those of each rank as the rows are dealt (dealt.cpp), and T is that of the busiest.
//   reduction over copies, level(a) <= l, Z = rho down to the level of the copies, times H below it:
//     sparse, up    out of e  v(a) (1 - sigma(a)) Z (w + id)
//                   into e    sigma(a) Z (w + id) * sum over siblings v(a')
//     sparse, down  into e    u (1 - sigma(a)) Z (w + id)
//                   out of e  sigma(a) Z (w + id) u * number of siblings
//     dense         the same with v = u = 1 and id = 0: 2 (c - 1)/c w per child, for c equal children. The gradients of
//                   the dense parameters move like this.
//   store: a slower store packs R rows into a block of B bytes, the least multiple of its granule that they fill to
//     three quarters (base/packing.hpp). Neighbours are used alike, so a row's share of the blocks that are touched is
//     g(a) = (1 - (1 - v(a))^R) / R. It reads g(D) B before the forward pass and moves (2 g(root) - g(D)) B in the
//     update: an update reaches every copy, also where this iteration did not fetch the row.
//   memory: (w + s) / slots at the site, for each domain.
//   work: hash = lookups and received ids; gather = lookups pooled and rows read to be sent; pack = bytes sent and
//     received; update = u (w + s) per copy, all of (w + s) where the reduction is dense. lists = ids that are put on
//     a list for another rank, and ids that come on one: 2 (v(D) + u) H_D(e) for sparse sums over the copies (those
//     touched here go up, those touched anywhere come down), and every lookup pooled at a holder, at both ends.
//   dense parameters: an update of all of them on every rank.
//
// 4. Steps and time (timing.cpp, overlapped.cpp)
//
// hash and lists, ids (stages L..1), store read, gather, rows (1..L), compute, pack, gradients (L..1), up (L..1), down
// (1..L), update, store written back; a direct exchange is one step of all its stages. A step takes the largest, over the
// resources it loads, of
//   bytes / bandwidth + messages * overhead + latency (once per step, when anything is sent).
//
//   sequential  T = sum of the steps
//   overlapped  T = max(C, E, S) + max(D, R, S')
//
// Overlapped, batch k has two parts. Beside C, its computation from rows to the gradients of the bags, one
// communication lane per rank runs the steps E: clean gradients of k - 1 (of rows that k does not use) and their update,
// ids of k + 1, its clean rows (that k does not use). Behind C it runs D: gradients of the dirty rows (that k + 1 uses
// as well), their reduction and update, and the rows; beside D, the rest is computed (gradients of the parameters, the
// bottom MLP of k + 1) and the dense parameters are reduced and updated: R. S and S' are the most
// that a processor, or in the second part a link, has to do there in all: lanes share them. A row is dirty with
// probability u v(a) and clean with (1 - u) v(a); rows with several copies and pooled bags are all dirty. Slower stores
// are read ahead and written back in the background: T is at least the time that one of them is busy.
//
// Maxima of expectations are at most the expected maximum: T is a lower estimate of the mean time.
//
// 5. Not modelled
//
// Chance: loads of a batch around their expectation (how rows are dealt is modelled, dealt.cpp); dependence of columns and
// samples, which makes distinct rows fewer (what it makes of assigned samples is measured, section 8), and of the lookups
// of one bag, which changes how many vectors a pooled bag is; contention inside a switch; half-duplex links; caches; drift
// of the distribution during a run.
// Classes of laws and merged counts have a grouping error, bounded and reported.
//
// 6. The optimiser (solve.hpp)
//
// A family (families.cpp) is the placements that pay a given set of latencies: which slower stores are in use, up to
// which level copies are reduced, the least copy level of rows that travel in stages (or directly) and that of pooled
// ones. Tables that are not pooled all travel alike, staged or direct. The families together are every such placement,
// so the least of their bounds is a bound for all. Rows of nearly equal use form classes c of n_c rows. Within a family
// and without pooling T is the optimum of a linear programme in x_{c,o}, the rows of c that take option o:
//
//   minimise    sum over steps of tau
//   subject to  load_k(x) + constant_k <= tau_step(k)    for every resource k of every step
//               bytes_m(x) <= capacity_m                 for every store m
//               sum over o of x_{c,o} = n_c
//
// with tens of coupling rows k, m and thousands of classes.
//
//   bound     For prices of the coupling rows (those of a step sum to 1) every table takes its cheapest placement on its
//             own: the Lagrangian, a certified lower bound over ALL classes and options (table_pricing.hpp).
//   solve     Mehrotra's interior point method, class equations eliminated: 15 to 30 dense systems (interior_point.hpp).
//   refine    It begins with few groups of classes and ends with the classes that matter, few options each, and the
//             coupling rows that bind; the bound says when to stop (family.cpp).
//   vertex    Moves along combinations of classes that change no load, until at most as many classes are split as there
//             are coupling rows (vertex.cpp).
//   round     Whole rows: of a split class the option whose price rises least with use takes the hottest rows. Stores
//             that a row more would overfill get less room, and the programme is solved again.
//   families  Prices found for one family bound the others, so most are never solved.
//
// Pooling is decided per table, and pairs(m) = k (1 - (1 - m/k)^h) is concave in the mass m that an option holds, so
// this part is not convex. It is solved by branch and bound (search.cpp):
//
//   price     The cheapest pooled placement of one table at given prices is exact up to a tolerance: chords stand below
//             pairs(m), and the interval of m whose chord is furthest below is split (Falk and Soland 1969;
//             pooled_table.hpp). No option holds more mass than the hottest rows that fit there have.
//   mix       In the programme such a table is one class, its columns whole placements with their true pairs, added as
//             prices find them (Dantzig and Wolfe 1960): the best convex mix, the optimum of the Lagrangian. With many
//             tables few are mixed, and the mix is nearly a placement (Shapley and Folkman).
//   decide    A table whose other choice costs more than the best plan leaves, at the bound's prices, is decided.
//   branch    Else the table whose mix is furthest from a placement is split: pooled or not, or the mass of an option
//             below or above its mean. The part of least bound goes first, until the plan is within 0.5 % of all bounds
//             or a fixed amount of work is done.
//   plan      Each table pooled or not as most of its mix, pairs along tangents at the mix's mass, which lie above:
//             linear programmes whose solutions cost no more than they say.
//
//   result    The best of all this and of the named strategies; bound = the least of their bounds; gap = T / bound - 1.
//             T is that of the busiest rank as the plan deals its rows; what it would be if everything were dealt evenly,
//             which is what the search works with, is Solution::even_seconds.
//
// Found over random machines, laws, budgets and bags (test/placement/gap_sweep.cpp): with bags of one the gap is a
// rounding matter, below 0.1 % on nearly all; with pooling at most 3 % on the machines of configs/topologies; on trees
// with several unlike kinds of ranks, few tables and memory for little more than one copy one in a hundred stays above
// 5 %: which table goes to which kind of rank is then a combinatorial question that the work allowed does not exhaust.
//
// Prices are shadow prices, what a limit is worth at the margin: seconds per byte of a store, seconds if a bandwidth
// doubled.
// A family lists every combination of sites of a level up to 64 of them (options.cpp); beyond that it is a smaller one.
//
// 7. The floor (floor_bytes)
//
// A scheme that moves whole rows and is exact and synchronous moves at least |S| + |S'| - 1 - [S and S' meet] times a
// row touched by ranks S now and S' next; summed: w (2 sum_r q_r - u - (1 - prod_r (1 - q_r^2)) / u). It is for samples
// that come to ranks by chance; who chooses their ranks goes below it.
//
// 8. Samples that go to their rows (model/locality.hpp)
//
// The gradient of a global batch does not depend on which rank computes which of its samples. Samples of like rows are
// trained where these are held, and rows that were never used before are held where they are used first: both follow
// from data, not from p, so what they do is measured, by running the assigner on a sample of the data, as two factors per
// level l of the tree, for rows of about x = p B h lookups in a batch: into_l(x), of the rows that enter a domain of
// level l, and distinct_l(x), of those it looks up. For rows with one copy that are not pooled
//
//     into a, out of e, ids, gradients, dirty and clean (section 3):  v(a) into_level(a)(x)      instead of v(a)
//     gathered for those who ask directly:                            q distinct_L(x)            instead of q
//
// A direct exchange takes the factors of the ranks in every stage, and a little too much with it where nodes are further
// apart than ranks: the assigner spares the dear links. Factors were measured with certain holders. By first use, held_by_first_use
// says which rows have them: those in device memory of ranks that train; others (in a slower store, on a server) are held
// by arithmetic, no sample finds them near, and distinct stands for into. Rows with several copies are touched as ever,
// and so are pooled bags: hot rows and whole bags are at best looked up by as many ranks. Each class has its factors, so
// loads stay linear in x_{c,o} and the optimiser, its bound and its prices hold as they are.
//
// Who holds what by first use is no arithmetic: a plan deals it evenly, but that one of equal ranks holds `busiest` times
// the mean.
//
// It costs the samples that move. Each rank in turn reads a whole batch and sends every other its part, ahead of use and
// in pieces over the next iterations, so that all links are loaded alike, and at once the list of new holders: bytes in
// the ledger of every rank, and s seconds of the busiest link in every iteration. The links are free while ranks compute, for C of T seconds, and the exchange of samples falls anywhere:
//
//     T' = T + s - C min(1, s / T) + a,        T' >= (seconds of an assignment) / readers
//
// as every reader assigns one batch at a time; a is the second of these numbers where the cores that assign are those that
// compute, else 0. T' rises with T, so the bound of T gives that of T'. Latencies of these
// exchanges are hidden. Between the end of a batch's assignment and its use lie W batches: 1 where an iteration takes
// longer than an assignment, else ceil(assignment / T'), at most the ranks (solve.hpp, delay_of).
//
// Not modelled: what the older knowledge of a larger W loses (1 to 5 % more rows); memory of batches under way.
#pragma once

#include "placement/baselines/strategies.hpp"
#include "placement/cost/cost.hpp"
#include "placement/model/distribution.hpp"
#include "placement/model/plan.hpp"
#include "placement/model/topology.hpp"
#include "placement/model/workload.hpp"
#include "placement/solve/solve.hpp"
