// Clocks, the time zone of the machine, and what waits.
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "testing/checked/outside.hpp"

PAWL_BEFORE(clocks, int, clock_gettime, (clockid_t clock, timespec* now), noexcept, (clock, now))
PAWL_BEFORE(clocks, int, gettimeofday, (timeval * now, void* zone), noexcept, (now, zone))
PAWL_BEFORE(clocks, int, timespec_get, (timespec * now, int base), noexcept, (now, base))
PAWL_BEFORE(clocks, time_t, time, (time_t* now), noexcept, (now))
PAWL_BEFORE(clocks, clock_t, clock, (), noexcept, ())

PAWL_BEFORE(zones, tm*, localtime, (const time_t* at), noexcept, (at))
PAWL_BEFORE(zones, tm*, localtime_r, (const time_t* at, tm* out), noexcept, (at, out))
PAWL_BEFORE(zones, time_t, mktime, (tm * at), noexcept, (at))

PAWL_BEFORE(waits, int, nanosleep, (const timespec* wait, timespec* rest), , (wait, rest))
PAWL_BEFORE(waits, int, clock_nanosleep, (clockid_t clock, int flags, const timespec* wait, timespec* rest), ,
            (clock, flags, wait, rest))
PAWL_BEFORE(waits, unsigned, sleep, (unsigned seconds), , (seconds))
PAWL_BEFORE(waits, int, usleep, (useconds_t wait), , (wait))
PAWL_BEFORE(waits, int, poll, (pollfd * all, nfds_t count, int wait), , (all, count, wait))
PAWL_BEFORE(waits, int, select, (int count, fd_set* in, fd_set* out, fd_set* bad, timeval* wait), ,
            (count, in, out, bad, wait))
PAWL_BEFORE(waits, int, epoll_wait, (int all, epoll_event* events, int count, int wait), , (all, events, count, wait))
PAWL_BEFORE(waits, int, sem_wait, (sem_t * one), , (one))
