#include "run/progress.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>

namespace sparrow {

Progress::Progress(int64_t total_samples) : total_(total_samples), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  clear();
}

void Progress::clear() {
  if (!drawn_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

void Progress::show(int64_t samples, double loss, double samples_per_second, bool record) {
  constexpr double kRedrawSeconds = 0.2;
  const double share = total_ > 0 ? static_cast<double>(samples) / static_cast<double>(total_) : 0;
  const double left = samples_per_second > 0 ? static_cast<double>(total_ - samples) / samples_per_second : 0;
  if (!terminal_) {
    if (record)
      spdlog::info("{:3.0f} %  {} samples  loss {:.5f}  {:.0f} samples/s  {:.0f} s left", 100 * share, samples, loss,
                   samples_per_second, left);
    return;
  }
  if (drawn_ && since_drawn_.seconds() < kRedrawSeconds) return;
  constexpr int kWidth = 30;
  const int filled = static_cast<int>(share * kWidth);
  fmt::print(stderr, "\r[{:=<{}}{: <{}}] {:3.0f} %  loss {:.5f}  {:.0f} samples/s  {:.0f} s left \033[K", "", filled,
             "", kWidth - filled, 100 * share, loss, samples_per_second, left);
  std::fflush(stderr);
  drawn_ = true;
  since_drawn_.restart();
}

}  // namespace sparrow
