# Against a real broker, which the tests start: seconds each.
set(PAWL_TEST_LABEL full)
set(PAWL_TEST_TIMEOUT 120)
