// What this machine can do at most, measured in the run that quotes it: arithmetic, memory copies, random rows. Each is
// the best of several short tries, because other work may share the cores.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace sparrow::bench {

class MachineLimits {
 public:
  explicit MachineLimits(int threads) : threads_(threads) {}

  double fp32_flops();  ///< fp32 multiply-adds in registers, two operations each, a second
  double bf16_flops();  ///< the same of bf16 with fp32 sums, on the matrix unit where there is one
  double copy_bytes();  ///< read plus written by a copy of 128 MiB, a second
  double gathered_rows(int64_t dim,
                       int64_t rows);  ///< random rows of dim floats out of `rows` copied to a dense block, a second
  double updated_rows(int64_t dim, int64_t rows);  ///< random rows read and written in place, a second

 private:
  double once(const std::string& name, double (*measure)(int threads, int64_t dim, int64_t rows), int64_t dim,
              int64_t rows);

  const int threads_;
  std::map<std::string, double> known_;
};

}  // namespace sparrow::bench
