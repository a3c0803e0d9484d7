sparrow_test(topology_file_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/topology_file_test.cpp ${CMAKE_CURRENT_LIST_DIR}/quantity_test.cpp
  LINK sparrow_config)
target_compile_definitions(topology_file_test PRIVATE SPARROW_TOPOLOGIES="${CMAKE_CURRENT_LIST_DIR}/../../configs/topologies")
sparrow_test(plan_file_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/plan_file_test.cpp LINK sparrow_config)
