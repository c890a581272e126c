# The pieces of actors/ that own threads and know nothing of CAF, in a library of their own: so these tests are built
# where there is no CAF, under TSan above all.
if(NOT TARGET pawl_actor_threads)
  add_library(pawl_actor_threads STATIC EXCLUDE_FROM_ALL
    "${CMAKE_SOURCE_DIR}/actors/clock.cpp"
    "${CMAKE_SOURCE_DIR}/actors/blocking_pool.cpp"
    "${CMAKE_SOURCE_DIR}/actors/pool_watchdog.cpp"
    "${CMAKE_SOURCE_DIR}/actors/child_process.cpp"
    "${CMAKE_SOURCE_DIR}/actors/child_spawn.cpp")
  target_link_libraries(pawl_actor_threads PUBLIC pawl_options Threads::Threads PRIVATE pawl_warnings)
endif()
set(PAWL_TEST_LIBS pawl_actor_threads)
set(PAWL_TEST_TIMEOUT 120)
