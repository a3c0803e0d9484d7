sparrow_test(presets_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/presets_test.cpp ${CMAKE_CURRENT_LIST_DIR}/support.cpp LINK sparrow_placement)
