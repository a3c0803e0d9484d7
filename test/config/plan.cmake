sparrow_test(topology_file_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/topology_file_test.cpp ${CMAKE_CURRENT_LIST_DIR}/quantity_test.cpp
  LINK sparrow_config)
target_compile_definitions(topology_file_test PRIVATE SPARROW_TOPOLOGIES="${CMAKE_CURRENT_LIST_DIR}/../../configs/topologies")
sparrow_test(plan_file_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/plan_file_test.cpp LINK sparrow_config)

# Mutated topologies, plans and histograms; `plan_fuzz FOLDER 100000 1` on a sanitizer build takes minutes.
add_executable(plan_fuzz ${CMAKE_CURRENT_LIST_DIR}/plan_fuzz.cpp)
target_link_libraries(plan_fuzz PRIVATE sparrow_access sparrow_config sparrow_data sparrow_placement)
set_target_properties(plan_fuzz PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/test)
add_test(NAME plan_fuzz COMMAND plan_fuzz ${PROJECT_SOURCE_DIR}/configs/topologies 3000 1)
set_tests_properties(plan_fuzz PROPERTIES TIMEOUT 300 ENVIRONMENT "${SPARROW_SANITIZER_ENVIRONMENT}")
