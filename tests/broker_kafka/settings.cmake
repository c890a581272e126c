# Against a real broker, which the cases share: it takes seconds to start.
set(PAWL_TEST_LABEL full)
set(PAWL_TEST_WHOLE ON)
set(PAWL_TEST_TIMEOUT 400)
# librdkafka makes its threads by C11's thrd_create, which TSan does not follow: our callbacks on them would crash it.
if("thread" IN_LIST PAWL_SANITIZE)
  set(PAWL_TEST_LIBS threads_that_tsan_knows)
endif()
