# The command `sparrow plan`, a library of its own: it needs neither MPI nor a backend.
set(plan_sources plan.cpp plan_request.cpp plan_tables.cpp plan_answer.cpp plan_report.cpp plan_text.cpp plan_json.cpp
  plan_sweep.cpp plan_explain.cpp)
list(TRANSFORM plan_sources PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
sparrow_library(sparrow_plan_command SOURCES ${plan_sources} LINK sparrow_planning sparrow_synthetic cxxopts::cxxopts)
target_include_directories(sparrow_plan_command PUBLIC ${CMAKE_CURRENT_LIST_DIR})
