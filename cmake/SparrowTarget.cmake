# How our own targets are compiled. sparrow_flags carries include paths, warnings and sanitizers.
add_library(sparrow_flags INTERFACE)
target_include_directories(sparrow_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/lib)
set(sparrow_warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Wold-style-cast
  -Woverloaded-virtual -Wunused)
if(SPARROW_WERROR)
  list(APPEND sparrow_warnings -Werror)
endif()
target_compile_options(sparrow_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${sparrow_warnings}>")
if(SPARROW_SANITIZE)
  # Instrumented code makes GCC 12 see uninitialised reads and overlapping copies inside std::regex and std::string that are not there.
  target_compile_options(sparrow_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized;-Wno-restrict>")
  target_compile_options(sparrow_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${SPARROW_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=undefined;-g>")
  target_link_options(sparrow_flags INTERFACE -fsanitize=${SPARROW_SANITIZE})
endif()

# sparrow_library(NAME [SOURCES...] LINK LIBRARIES...): a static library of ours, of these sources or of all below this folder.
function(sparrow_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  if(NOT arg_SOURCES)
    file(GLOB_RECURSE arg_SOURCES CONFIGURE_DEPENDS *.cpp)
  endif()
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC sparrow_flags ${arg_LINK})
endfunction()

# What a test under mpirun needs: -n beyond the slots, unbound (or parallel jobs would all sit on core 0), yielding (or spinning
# ranks starve each other), shared memory and TCP only.
set(SPARROW_MPI_ENVIRONMENT OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp
  OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_orte_abort_print_stack=0)
set(SPARROW_SANITIZER_ENVIRONMENT
  "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/test/support/lsan.supp:print_suppressions=0"
  "ASAN_OPTIONS=fast_unwind_on_malloc=0" "TSAN_OPTIONS=ignore_noninstrumented_modules=1" "UBSAN_OPTIONS=print_stacktrace=1")

# sparrow_test(NAME SOURCES... LINK LIBRARIES... [TIMEOUT seconds]): a Catch2 executable, one ctest entry named like it.
function(sparrow_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINK" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE sparrow_flags test_main ${arg_LINK})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/test)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${SPARROW_SANITIZER_ENVIRONMENT}")
endfunction()

# sparrow_mpi_test(NAME RANKS): runs the executable NAME (linked with mpi_test_main) again under mpirun.
function(sparrow_mpi_test name ranks)
  add_test(NAME ${name}.np${ranks} COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:${name}>)
  set_tests_properties(${name}.np${ranks} PROPERTIES PROCESSORS ${ranks} TIMEOUT 120
    ENVIRONMENT "${SPARROW_MPI_ENVIRONMENT};${SPARROW_SANITIZER_ENVIRONMENT}")
endfunction()
