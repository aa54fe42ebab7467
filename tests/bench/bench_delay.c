/*
 * A proxy that makes a database look far away: bench_delay LISTEN_DIR SERVER_DIR PORT
 *
 * Listens at the socket that PostgreSQL would have in LISTEN_DIR, and passes everything on to the one in
 * SERVER_DIR, each way after half of the round trip's delay. The delay is 0 at first; each line of standard
 * input sets it, in microseconds, for what comes from then on. Says "ready" when it listens, and ends with
 * its standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS = 256, CHUNK = 64 * 1024, EVENTS = 64 };

typedef struct chunk {
    struct chunk *next;
    int64_t due_ns;
    size_t length, written;
    char data[];
} chunk;

/* What comes from one descriptor and goes to another. */
typedef struct flow {
    int from, to;
    chunk *first, *last;
    bool blocked; /* the reader is slow: epoll tells */
} flow;

typedef struct pair {
    bool open;
    flow flows[2];
} pair;

static pair pairs[PAIRS];
static int poller, timer;
static int64_t delay_ns; /* one way */

static int check(int result, const char *what) {
    if (result >= 0) return result;
    fprintf(stderr, "bench_delay: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int unix_socket(const char *dir, const char *port, struct sockaddr_un *address) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(address->sun_path, sizeof address->sun_path, "%s/.s.PGSQL.%s", dir, port);
    if (length < 0 || (size_t)length >= sizeof address->sun_path) errno = ENAMETOOLONG;
    check(length < 0 || (size_t)length >= sizeof address->sun_path ? -1 : 0, dir);
    return check(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
}

static void watch(int fd, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    check(epoll_ctl(poller, operation, fd, &event), "epoll_ctl");
}

static void close_pair(pair *p) {
    for (int i = 0; i < 2; i++) {
        while (p->flows[i].first) {
            chunk *c = p->flows[i].first;
            p->flows[i].first = c->next;
            free(c);
        }
        close(p->flows[i].from);
    }
    *p = (pair){0};
}

static void accept_pair(int listener, const char *dir, const char *port) {
    struct sockaddr_un address;
    int client = check(accept(listener, NULL, NULL), "accept");
    int server = unix_socket(dir, port, &address);
    pair *p = pairs;
    while (p < pairs + PAIRS && p->open) p++;
    if (p == pairs + PAIRS || connect(server, (struct sockaddr *)&address, sizeof address) < 0) {
        close(client);
        close(server);
        return;
    }
    *p = (pair){true, {{client, server, NULL, NULL, false}, {server, client, NULL, NULL, false}}};
    for (int i = 0; i < 2; i++) {
        check(fcntl(p->flows[i].from, F_SETFL, O_NONBLOCK), "fcntl");
        watch(p->flows[i].from, EPOLLIN, EPOLL_CTL_ADD);
    }
}

/* Writes what is due. False: the other side is gone. */
static bool drain(flow *f, int64_t now) {
    while (f->first && f->first->due_ns <= now) {
        chunk *c = f->first;
        ssize_t n = send(f->to, c->data + c->written, c->length - c->written, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
        c->written += n > 0 ? (size_t)n : 0;
        if (c->written < c->length) {
            if (!f->blocked) watch(f->to, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            f->blocked = true;
            return true;
        }
        f->first = c->next;
        free(c);
    }
    if (f->blocked) watch(f->to, EPOLLIN, EPOLL_CTL_MOD);
    f->blocked = false;
    return true;
}

/* False: this side is gone. */
static bool take(flow *f, int64_t now) {
    static char data[CHUNK];
    ssize_t n = recv(f->from, data, sizeof data, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) return false;
    chunk *c = malloc(sizeof *c + (size_t)n);
    check(c ? 0 : -1, "malloc");
    *c = (chunk){.due_ns = now + delay_ns, .length = (size_t)n};
    memcpy(c->data, data, (size_t)n);
    if (f->first && f->last->due_ns > c->due_ns) c->due_ns = f->last->due_ns; /* the order stays */
    if (f->first)
        f->last->next = c;
    else
        f->first = c;
    f->last = c;
    return true;
}

static void serve(int fd, uint32_t events) {
    for (pair *p = pairs; p < pairs + PAIRS; p++)
        for (int i = 0; p->open && i < 2; i++)
            if (p->flows[i].from == fd && events & ~(uint32_t)EPOLLOUT && !take(&p->flows[i], now_ns()))
                close_pair(p);
}

/* Sends what is due on all flows, and has the timer end when the next is. */
static void deliver(void) {
    int64_t now = now_ns(), next = INT64_MAX;
    for (pair *p = pairs; p < pairs + PAIRS; p++) {
        if (p->open && (!drain(&p->flows[0], now) || !drain(&p->flows[1], now))) close_pair(p);
        for (int i = 0; p->open && i < 2; i++) {
            const flow *f = &p->flows[i];
            if (f->first && !f->blocked && f->first->due_ns < next) next = f->first->due_ns;
        }
    }
    struct itimerspec at = {0};
    if (next < INT64_MAX) at.it_value = (struct timespec){next / 1000000000, next % 1000000000};
    check(timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL), "timerfd_settime");
}

/* False: standard input has ended. */
static bool listen_to_order(void) {
    char line[64];
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);
    if (n <= 0) return false;
    line[n] = '\0';
    delay_ns = strtoll(line, NULL, 10) * 1000 / 2;
    return true;
}

int main(int argc, char **argv) {
    struct sockaddr_un address;
    struct epoll_event events[EVENTS];
    if (argc != 4) return fprintf(stderr, "usage: bench_delay LISTEN_DIR SERVER_DIR PORT\n"), EXIT_FAILURE;
    int listener = unix_socket(argv[1], argv[3], &address);
    check(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    check(listen(listener, PAIRS), "listen");
    poller = check(epoll_create1(0), "epoll_create1");
    timer = check(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), "timerfd_create");
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    watch(timer, EPOLLIN, EPOLL_CTL_ADD);
    watch(STDIN_FILENO, EPOLLIN, EPOLL_CTL_ADD);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            uint64_t expirations;
            if (fd == listener)
                accept_pair(listener, argv[2], argv[3]);
            else if (fd == STDIN_FILENO && !listen_to_order())
                return EXIT_SUCCESS;
            else if (fd == timer)
                (void)!read(timer, &expirations, sizeof expirations);
            else if (fd != STDIN_FILENO)
                serve(fd, events[i].events);
        }
        deliver();
    }
}
