// Chance, the environment, threads and processes.
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include <random>

#include "testing/checked/outside.hpp"

PAWL_BEFORE(chance, ssize_t, getrandom, (void* out, size_t size, unsigned flags), , (out, size, flags))
PAWL_BEFORE(chance, int, getentropy, (void* out, size_t size), , (out, size))
PAWL_BEFORE(chance, int, rand, (), noexcept, ())
PAWL_BEFORE(chance, long, random, (), noexcept, ())
PAWL_BEFORE(chance, double, drand48, (), noexcept, ())
PAWL_BEFORE(chance, unsigned, arc4random, (), noexcept, ())
PAWL_BEFORE(chance, unsigned, arc4random_uniform, (unsigned below), noexcept, (below))
PAWL_BEFORE(chance, void, arc4random_buf, (void* out, size_t size), noexcept, (out, size))

PAWL_BEFORE(surroundings, char*, getenv, (const char* name), noexcept, (name))
PAWL_BEFORE(surroundings, char*, secure_getenv, (const char* name), noexcept, (name))
PAWL_BEFORE(surroundings, int, setenv, (const char* name, const char* value, int replace), noexcept,
            (name, value, replace))
PAWL_BEFORE(surroundings, int, gethostname, (char* out, size_t size), noexcept, (out, size))
PAWL_BEFORE(surroundings, pid_t, getpid, (), noexcept, ())

PAWL_BEFORE(threads, int, pthread_create,
            (pthread_t * one, const pthread_attr_t* attributes, void* (*begin)(void*), void* with), noexcept,
            (one, attributes, begin, with))
PAWL_BEFORE(threads, pid_t, fork, (), noexcept, ())
PAWL_BEFORE(threads, int, system, (const char* command), , (command))
PAWL_BEFORE(threads, FILE*, popen, (const char* command, const char* mode), , (command, mode))
PAWL_BEFORE(threads, int, posix_spawn,
            (pid_t * id, const char* path, const posix_spawn_file_actions_t* actions,
             const posix_spawnattr_t* attributes, char* const arguments[], char* const environment[]),
            , (id, path, actions, attributes, arguments, environment))
PAWL_BEFORE(threads, int, posix_spawnp,
            (pid_t * id, const char* file, const posix_spawn_file_actions_t* actions,
             const posix_spawnattr_t* attributes, char* const arguments[], char* const environment[]),
            , (id, file, actions, attributes, arguments, environment))

// The random numbers of the C++ library may come from the processor itself, without a call of the C library.
std::random_device::result_type std::random_device::_M_getval() {
  using real = result_type(random_device*);
  static constinit std::atomic<real*> kept{};
  pawl::checked::see(pawl::checked::chance, "std::random_device", __builtin_return_address(0));
  return pawl::checked::next(kept, static_cast<real*>(nullptr), "_ZNSt13random_device9_M_getvalEv")(this);
}
