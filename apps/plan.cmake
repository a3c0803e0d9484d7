# The command `sparrow plan`, a library of its own: it needs neither MPI nor a backend.
sparrow_library(sparrow_plan_command
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/plan.cpp ${CMAKE_CURRENT_LIST_DIR}/plan_request.cpp ${CMAKE_CURRENT_LIST_DIR}/plan_problem.cpp
    ${CMAKE_CURRENT_LIST_DIR}/plan_report.cpp ${CMAKE_CURRENT_LIST_DIR}/plan_table.cpp ${CMAKE_CURRENT_LIST_DIR}/plan_json.cpp ${CMAKE_CURRENT_LIST_DIR}/plan_sweep.cpp
    ${CMAKE_CURRENT_LIST_DIR}/plan_explain.cpp ${CMAKE_CURRENT_LIST_DIR}/human.cpp
  LINK sparrow_model sparrow_config sparrow_placement sparrow_data sparrow_base cxxopts::cxxopts nlohmann_json::nlohmann_json)
target_include_directories(sparrow_plan_command PUBLIC ${CMAKE_CURRENT_LIST_DIR})
