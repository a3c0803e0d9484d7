find_package(benchmark REQUIRED)
add_executable(data_bench ${CMAKE_CURRENT_LIST_DIR}/data_bench.cpp)
target_link_libraries(data_bench PRIVATE sparrow_data benchmark::benchmark)
