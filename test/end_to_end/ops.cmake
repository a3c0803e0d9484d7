# Scripts that run the program many times or on several hosts: sweeps, Slurm, emulated clusters, reproduction.
sparrow_end_to_end_test(sweep_test 2 300)
sparrow_end_to_end_test(slurm_test 2 600)
sparrow_end_to_end_test(emulated_cluster_test 4 300)
sparrow_end_to_end_test(reproduce_test 4 300)
set_tests_properties(emulated_cluster_test reproduce_test PROPERTIES RESOURCE_LOCK emulated_cluster)
