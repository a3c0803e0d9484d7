sparrow_test(generator_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/generator_test.cpp LINK sparrow_generator)
target_compile_definitions(generator_test PRIVATE SPARROW_SHARED_DEFAULT="${CMAKE_CURRENT_LIST_DIR}/../../../shared")
