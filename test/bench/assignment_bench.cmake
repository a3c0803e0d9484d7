# How many rows move where samples go to their rows, and how long assigning takes: build/test/assignment_bench. One tiny run in ctest.
add_executable(assignment_bench assignment_bench.cpp assignment_trace.cpp assignment_herald.cpp)
target_link_libraries(assignment_bench PRIVATE sparrow_assign sparrow_synthetic sparrow_data cxxopts::cxxopts)
target_compile_definitions(assignment_bench PRIVATE SPARROW_PARTITIONER="${CMAKE_CURRENT_LIST_DIR}/assignment_partitioner.py")
set_target_properties(assignment_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/test)
add_test(NAME assignment_bench_runs
  COMMAND assignment_bench --generate 4000 --shapes 4x128,3x100 --passes 1 --group-shapes 16x16 --parts 1,2 --partitioned 4x32)
