sparrow_end_to_end_test(plan_test 2 600)
