sparrow_end_to_end_test(plan_test 1 600)
