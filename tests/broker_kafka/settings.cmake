# Against a real broker, which the cases share: it takes seconds to start.
set(PAWL_TEST_LABEL full)
set(PAWL_TEST_WHOLE ON)
set(PAWL_TEST_TIMEOUT 400)
