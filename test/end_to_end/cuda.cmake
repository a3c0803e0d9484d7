# Training on the CUDA backend, on the emulated GPU: the program that users run, with stand-ins for CUDA's runtime and NCCL in front.
if(TARGET sparrow_nccl AND CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64)
  sparrow_end_to_end_test(cuda_training_test 4 300)
  set_property(TEST cuda_training_test APPEND PROPERTY ENVIRONMENT "LD_LIBRARY_PATH=${PROJECT_BINARY_DIR}/test/cuda_emulator:$ENV{LD_LIBRARY_PATH}"
    CUDA_EMULATOR_MEMORY=134217728 CUDA_EMULATOR_DEVICES=4 CUDA_EMULATOR_SEED=7)
else()
  add_test(NAME cuda_training_test COMMAND ${CMAKE_COMMAND} -E echo
    "SKIPPED: training on the CUDA backend needs a CUDA compiler, NCCL and an x86-64 processor to emulate a GPU on")
  set_tests_properties(cuda_training_test PROPERTIES SKIP_REGULAR_EXPRESSION "^SKIPPED" LABELS end_to_end)
endif()
