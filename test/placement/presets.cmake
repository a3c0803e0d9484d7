sparrow_test(presets_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/presets_test.cpp LINK sparrow_placement)
