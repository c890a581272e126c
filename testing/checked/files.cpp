// Files, the network, and output.
#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cstdarg>

#include "testing/checked/outside.hpp"

PAWL_BEFORE(files, FILE*, fopen, (const char* path, const char* mode), , (path, mode))
PAWL_BEFORE(files, FILE*, fopen64, (const char* path, const char* mode), , (path, mode))
PAWL_BEFORE(files, DIR*, opendir, (const char* path), , (path))
PAWL_BEFORE(files, int, stat, (const char* path, struct stat* out), noexcept, (path, out))
PAWL_BEFORE(files, int, stat64, (const char* path, struct stat64* out), noexcept, (path, out))
PAWL_BEFORE(files, int, lstat, (const char* path, struct stat* out), noexcept, (path, out))
PAWL_BEFORE(files, int, access, (const char* path, int mode), noexcept, (path, mode))
PAWL_BEFORE(files, int, mkdir, (const char* path, mode_t mode), noexcept, (path, mode))
PAWL_BEFORE(files, int, rmdir, (const char* path), noexcept, (path))
PAWL_BEFORE(files, int, unlink, (const char* path), noexcept, (path))
PAWL_BEFORE(files, int, remove, (const char* path), noexcept, (path))
PAWL_BEFORE(files, int, rename, (const char* from, const char* to), noexcept, (from, to))
PAWL_BEFORE(files, ssize_t, read, (int file, void* out, size_t size), , (file, out, size))

PAWL_BEFORE(network, int, socket, (int domain, int type, int protocol), noexcept, (domain, type, protocol))
PAWL_BEFORE(network, int, connect, (int one, const sockaddr* to, socklen_t size), , (one, to, size))
PAWL_BEFORE(network, ssize_t, send, (int one, const void* from, size_t size, int flags), , (one, from, size, flags))
PAWL_BEFORE(network, ssize_t, recv, (int one, void* out, size_t size, int flags), , (one, out, size, flags))
PAWL_BEFORE(network, ssize_t, sendmsg, (int one, const msghdr* from, int flags), , (one, from, flags))
PAWL_BEFORE(network, ssize_t, recvmsg, (int one, msghdr* out, int flags), , (one, out, flags))
PAWL_BEFORE(network, int, getaddrinfo, (const char* name, const char* service, const addrinfo* hints, addrinfo** out), ,
            (name, service, hints, out))

PAWL_BEFORE(output, ssize_t, write, (int file, const void* from, size_t size), , (file, from, size))
PAWL_BEFORE(output, size_t, fwrite, (const void* from, size_t size, size_t count, FILE* file), ,
            (from, size, count, file))
PAWL_BEFORE(output, int, fputs, (const char* text, FILE* file), , (text, file))
PAWL_BEFORE(output, int, fputc, (int one, FILE* file), , (one, file))
PAWL_BEFORE(output, int, putc, (int one, FILE* file), , (one, file))
PAWL_BEFORE(output, int, puts, (const char* text), , (text))
PAWL_BEFORE(output, int, putchar, (int one), , (one))
PAWL_BEFORE(output, int, vprintf, (const char* format, va_list all), , (format, all))
PAWL_BEFORE(output, int, vfprintf, (FILE * file, const char* format, va_list all), , (file, format, all))
PAWL_BEFORE(output, void, vsyslog, (int priority, const char* format, va_list all), , (priority, format, all))

// Those with `...` hand on what they are given as a list, or, where it is the mode of a new file, as that.
namespace {

/// There is a mode only where a file may be made.
mode_t mode_of(int flags, va_list all) {
  const bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return makes ? va_arg(all, mode_t) : 0;
}

}  // namespace

#define PAWL_BEFORE_OPEN(function, parameters, arguments)                             \
  extern "C" [[gnu::weak]] int __interceptor_##function parameters;                   \
  extern "C" [[gnu::visibility("default")]] int function parameters {                 \
    static constinit std::atomic<decltype(&__interceptor_##function)> kept{};         \
    pawl::checked::see(pawl::checked::files, #function, __builtin_return_address(0)); \
    va_list all;                                                                      \
    va_start(all, flags);                                                             \
    const auto mode = mode_of(flags, all);                                            \
    va_end(all);                                                                      \
    return pawl::checked::next(kept, &__interceptor_##function, #function) arguments; \
  }

PAWL_BEFORE_OPEN(open, (const char* path, int flags, ...), (path, flags, mode))
PAWL_BEFORE_OPEN(open64, (const char* path, int flags, ...), (path, flags, mode))
PAWL_BEFORE_OPEN(openat, (int folder, const char* path, int flags, ...), (folder, path, flags, mode))
PAWL_BEFORE_OPEN(openat64, (int folder, const char* path, int flags, ...), (folder, path, flags, mode))

#define PAWL_BEFORE_PRINT(result, function, parameters, twin, arguments)               \
  extern "C" [[gnu::visibility("default")]] result function parameters {               \
    pawl::checked::see(pawl::checked::output, #function, __builtin_return_address(0)); \
    va_list all;                                                                       \
    va_start(all, format);                                                             \
    struct end {                                                                       \
      va_list& all;                                                                    \
      ~end() { va_end(all); }                                                          \
    } const ends{all};                                                                 \
    return twin arguments;                                                             \
  }

PAWL_BEFORE_PRINT(int, printf, (const char* format, ...), vprintf, (format, all))
PAWL_BEFORE_PRINT(int, fprintf, (FILE * file, const char* format, ...), vfprintf, (file, format, all))
PAWL_BEFORE_PRINT(int, dprintf, (int file, const char* format, ...), vdprintf, (file, format, all))
PAWL_BEFORE_PRINT(void, syslog, (int priority, const char* format, ...), vsyslog, (priority, format, all))
