/* The poller on Linux. */
#include "reactor/poller.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/error.h"

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

void weir__poller_close(weir__poller *poller) {
    close_fd(&poller->nudge_fd);
    close_fd(&poller->wake_fd);
    close_fd(&poller->timer_fd);
    close_fd(&poller->fd);
}

static bool add_own(weir__poller *poller, int fd, void *tag) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
    return fd >= 0 && epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

int weir__poller_open(weir__poller *poller, weir_error *error) {
    memset(poller, 0, sizeof *poller);
    poller->fd = epoll_create1(EPOLL_CLOEXEC);
    poller->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    poller->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    poller->nudge_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (poller->fd >= 0 && poller->nudge_fd >= 0 && add_own(poller, poller->timer_fd, &poller->timer_fd) &&
        add_own(poller, poller->wake_fd, &poller->wake_fd))
        return WEIR_OK;
    weir__fail(error, WEIR_EINTERNAL, "cannot make the reactor's descriptors: %s", strerror(errno));
    weir__poller_close(poller);
    return WEIR_EINTERNAL;
}

static void forget(weir__poller *poller, const weir__watch *watch) {
    for (int i = 0; i < poller->batch_count; i++)
        if (poller->batch[i].watch == watch) poller->batch[i].watch = NULL;
}

bool weir__poller_watch(weir__poller *poller, weir__watch *watch, int fd, unsigned events) {
    if (watch->events && (!events || fd != watch->fd)) {
        epoll_ctl(poller->fd, EPOLL_CTL_DEL, watch->fd, NULL);
        watch->events = 0;
        forget(poller, watch);
    }
    if (!events || (watch->events == events && watch->fd == fd)) return true;
    struct epoll_event event = {.data.ptr = watch};
    if (events & WEIR__POLL_READ) event.events |= EPOLLIN | EPOLLRDHUP;
    if (events & WEIR__POLL_WRITE) event.events |= EPOLLOUT;
    if (epoll_ctl(poller->fd, watch->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0) return false;
    watch->fd = fd;
    watch->events = events;
    return true;
}

void weir__poller_arm(weir__poller *poller, int64_t at) {
    struct itimerspec spec = {0};
    if (at != INT64_MAX) {
        if (at < 1) at = 1; /* 0 would disarm */
        spec.it_value.tv_sec = (time_t)(at / 1000000000);
        spec.it_value.tv_nsec = (long)(at % 1000000000);
    }
    timerfd_settime(poller->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void raise_event(int fd) {
    const uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void weir__poller_wake(weir__poller *poller) {
    if (!atomic_exchange(&poller->woken, true)) raise_event(poller->wake_fd);
}

void weir__poller_nudge(weir__poller *poller) { raise_event(poller->nudge_fd); }

static void consume(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

bool weir__poller_collect(weir__poller *poller) {
    struct epoll_event events[WEIR__POLL_BATCH];
    int n = epoll_wait(poller->fd, events, WEIR__POLL_BATCH, 0);
    if (n <= 0) return true;
    poller->batch_count = 0;
    for (int i = 0; i < n; i++) {
        void *tag = events[i].data.ptr;
        if (tag == &poller->timer_fd) {
            consume(poller->timer_fd);
        } else if (tag == &poller->wake_fd) {
            /* First the read, then the mark: a wake between the two is swallowed, but what it is for has been
               written before and is worked on after this. The other way round its signal would be read, and
               its mark stay. */
            consume(poller->wake_fd);
            atomic_store(&poller->woken, false);
        } else {
            unsigned ready = 0;
            if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) ready |= WEIR__POLL_READ;
            if (events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) ready |= WEIR__POLL_WRITE;
            poller->batch[poller->batch_count++] = (struct weir__poll_event){tag, ready};
        }
    }
    for (int i = 0; i < poller->batch_count; i++) {
        weir__watch *watch = poller->batch[i].watch;
        if (watch) watch->ready(watch, poller->batch[i].events);
    }
    poller->batch_count = 0;
    return n < WEIR__POLL_BATCH;
}

int weir__poller_sleep(const weir__poller *poller, int timeout_ms) {
    struct pollfd fds[2] = {{.fd = poller->fd, .events = POLLIN}, {.fd = poller->nudge_fd, .events = POLLIN}};
    int ready = poll(fds, 2, timeout_ms);
    if (ready < 0) return errno == EINTR ? -1 : 0;
    if (ready > 0 && fds[1].revents) consume(poller->nudge_fd);
    return 0;
}

void weir__poller_pause(const weir__poller *poller, int bell, int timeout_ms) {
    struct pollfd fds[2] = {{.fd = poller->fd, .events = POLLIN}, {.fd = bell, .events = POLLIN}};
    poll(fds, 2, timeout_ms);
}
