set(PAWL_TEST_LIBS order_http)
