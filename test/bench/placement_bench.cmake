# Planning times: build/test/placement_bench. One tiny run in ctest shows that it still works.
add_executable(placement_bench placement_bench.cpp)
target_link_libraries(placement_bench PRIVATE sparrow_plan_command)
set_target_properties(placement_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/test)
add_test(NAME placement_bench_runs COMMAND placement_bench --counts 100000)
set_tests_properties(placement_bench_runs PROPERTIES TIMEOUT 120)
