// `sparrow generate`: shards with the shape of a Criteo data set, whatever the number of processes and threads the same
// bytes.
//
// Sample k is a pure function of (like, scale, seed, k) (generator_model.hpp) and shard s of S holds samples floor(N s
// / S) .. floor(N (s + 1) / S). Bytes may differ between machines whose C libraries round pow() differently, in about
// one category of 10^8. Files in the folder:
//   day_0.tsv, day_1.tsv, ...          Criteo's text format; with gzip day_0.tsv.gz, one member per 8,192 samples
//   day_0_dense.npy                    for npy: (n, 13) float32, log(1 + max(x, 0))
//   day_0_sparse.npy, day_0_labels.npy          (n, 26) and (n, 1) int32
//   manifest.json                      arguments, files and sizes; written when all shards are there, whoever wrote them
//   .day_0.arguments                   what shard 0 was generated with, so that an interrupted run goes on where it stopped
// A category's value is below 2^31 and the same in both formats; 0 is a missing one. So `vocabulary: hash` gives the
// same ids from both.
#pragma once

#include <string>
#include <vector>

#include "data/options.hpp"

namespace sparrow {

/// Throws Error naming the argument that is impossible.
void check_generate_options(const GenerateOptions& options);

/// The files to name in data.train, in order: the text files, or the ..._dense.npy of the triplets.
std::vector<std::string> generated_files(const GenerateOptions& options);

/// Whether options.out holds the whole set that these options describe.
bool is_generated(const GenerateOptions& options);

/// Writes the shards s with s % parts == part that are not there yet, on `threads` threads. Returns whether the whole
/// set is there now, that is, for one of the parts at least, the last one to end. Files appear under their names when
/// they are whole. Throws Error for impossible options, for a folder that holds shards generated with other arguments
/// unless `overwrite`, and when writing fails.
bool generate(const GenerateOptions& options, int part = 0, int parts = 1, int threads = 1, bool overwrite = false);

}  // namespace sparrow
