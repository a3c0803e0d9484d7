#include "base/log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>

namespace sparrow {

void set_up_log(int rank, spdlog::level::level_enum level, bool all_ranks) {
  auto logger = std::make_shared<spdlog::logger>("sparrow", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern(fmt::format("[%H:%M:%S.%e] [rank {}] [%^%l%$] %v", rank));
  logger->set_level(rank == 0 || all_ranks ? level : spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace sparrow
