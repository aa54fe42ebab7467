/* Names are looked up by a thread, since getaddrinfo blocks: libpq gets their addresses, in the same order.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/thread.h"
#include "driver/postgres/pg.h"

typedef struct entry {
    char *host, *address, *port; /* "" when not given */
} entry;

/* The thread's; but for `conn`, which belongs to the host's lock. */
struct weir__pgresolve {
    weir__letter letter; /* first */
    weir__mailbox *mailbox;
    weir__pgconn *conn; /* NULL when it does not wait any more */
    weir__pgparams params;
    entry *entries;
    size_t count;
    weir__buffer hosts, addresses, ports; /* the outcome: comma lists of equal length */
    size_t found;
    weir__buffer failures;
};

static void job_free(struct weir__pgresolve *job) {
    for (size_t i = 0; i < job->count; i++) {
        weir__free(job->entries[i].host);
        weir__free(job->entries[i].address);
        weir__free(job->entries[i].port);
    }
    weir__free(job->entries);
    weir__pg_params_free(&job->params);
    weir__buffer_free(&job->hosts);
    weir__buffer_free(&job->addresses);
    weir__buffer_free(&job->ports);
    weir__buffer_free(&job->failures);
    weir__mailbox_unref(job->mailbox);
    weir__free(job);
}

/* ---- what there is to look up */

static bool is_literal(const char *host) {
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) return true;
    return strchr(host, ':'); /* an IPv6 address with a scope: no name has a colon */
}

static bool is_name(const entry *e) {
    return !*e->address && *e->host && *e->host != '/' && *e->host != '@' && !is_literal(e->host);
}

static size_t count_parts(const char *list) {
    size_t count = 1;
    for (; *list; list++) count += *list == ',';
    return count;
}

/* A copy of part i of a comma list; of its only part when it has one, and of nothing when it has no such
 * part. */
static char *part(const char *list, size_t i) {
    if (!strchr(list, ',')) return weir__strndup(list, strlen(list));
    for (; i && *list; i--) {
        list += strcspn(list, ",");
        list += *list == ',';
    }
    return weir__strndup(list, strcspn(list, ","));
}

/* False: out of memory. */
static bool fill(struct weir__pgresolve *job, const char *hosts, const char *addresses, const char *ports) {
    size_t count = count_parts(*addresses ? addresses : hosts);
    job->entries = weir__calloc(count, sizeof *job->entries);
    if (!job->entries) return false;
    job->count = count;
    for (size_t i = 0; i < count; i++) {
        entry *e = &job->entries[i];
        e->host = part(hosts, i);
        e->address = part(addresses, i);
        e->port = part(ports, i);
        if (!e->host || !e->address || !e->port) return false;
    }
    return true;
}

static bool any_name(const struct weir__pgresolve *job) {
    for (size_t i = 0; i < job->count; i++)
        if (is_name(&job->entries[i])) return true;
    return false;
}

/* ---- the thread */

static void add(struct weir__pgresolve *job, const entry *e, const char *address) {
    const char *comma = job->found++ ? "," : "";
    weir__buffer_text(&job->hosts, comma);
    weir__buffer_text(&job->hosts, e->host);
    weir__buffer_text(&job->addresses, comma);
    weir__buffer_text(&job->addresses, address);
    weir__buffer_text(&job->ports, comma);
    weir__buffer_text(&job->ports, e->port);
}

static void look_up(struct weir__pgresolve *job, const entry *e) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int code = getaddrinfo(e->host, NULL, &hints, &list);
    if (code) {
        weir__buffer_printf(&job->failures, "%scould not translate host name \"%s\" to address: %s",
                            job->failures.length ? "; " : "", e->host, gai_strerror(code));
        return;
    }
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        char text[NI_MAXHOST];
        if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
            add(job, e, text);
    }
    freeaddrinfo(list);
}

static void *run(void *arg) {
    struct weir__pgresolve *job = arg;
    for (size_t i = 0; i < job->count; i++) {
        const entry *e = &job->entries[i];
        if (is_name(e)) {
            look_up(job, e);
        } else {
            /* An address in the place of the host, since the list of addresses is used for all or none. */
            add(job, e, *e->address ? e->address : is_literal(e->host) ? e->host : "");
        }
    }
    weir__mailbox *mailbox = weir__mailbox_ref(job->mailbox);
    weir__mailbox_post(mailbox, &job->letter); /* the job is not ours any more */
    weir__mailbox_unref(mailbox);
    return NULL;
}

/* ---- back under the host's lock */

static bool replace_hosts(struct weir__pgresolve *job) {
    const char *hosts = weir__buffer_string(&job->hosts), *addresses = weir__buffer_string(&job->addresses);
    const char *ports = weir__buffer_string(&job->ports);
    if (!hosts || !addresses || !ports || job->failures.broken) return false;
    return weir__pg_params_add(&job->params, "host", hosts) &&
           weir__pg_params_add(&job->params, "hostaddr", addresses) &&
           weir__pg_params_add(&job->params, "port", ports);
}

static void deliver(weir__letter *letter) {
    struct weir__pgresolve *job = (struct weir__pgresolve *)letter;
    weir__pgconn *c = job->conn;
    weir_error error = WEIR_ERROR_INIT;
    if (!c) goto out;
    c->resolve = NULL;
    const char *failures = weir__buffer_string(&job->failures);
    if (!job->found && failures) {
        weir__fail(&error, WEIR_ECONNECT, "%s", *failures ? failures : "the host's name has no address");
    } else if (replace_hosts(job)) {
        weir__pgparams params = job->params;
        job->params = (weir__pgparams){0};
        weir__pg_connect_start(c, &params);
        goto out;
    } else {
        weir__fail(&error, WEIR_ENOMEM, "out of memory");
    }
    weir__pg_lose(c, &error);
out:
    job_free(job);
}

static void drop(weir__letter *letter) { job_free((struct weir__pgresolve *)letter); }

void weir__pg_resolve_abandon(weir__pgconn *c) {
    if (c->resolve) c->resolve->conn = NULL;
    c->resolve = NULL;
}

weir__pgresolution weir__pg_resolve(weir__pgconn *c, const PQconninfoOption *effective,
                                    weir__pgparams *params, weir_error *error) {
    const char *hosts = weir__pg_effective_value(effective, "host");
    const char *addresses = weir__pg_effective_value(effective, "hostaddr");
    const char *ports = weir__pg_effective_value(effective, "port");
    weir__pgresolution how = WEIR__PG_NO_THREAD;
    struct weir__pgresolve *job = weir__calloc(1, sizeof *job);
    if (!job || !fill(job, hosts ? hosts : "", addresses ? addresses : "", ports ? ports : "")) {
        weir__fail(error, WEIR_ENOMEM, "out of memory");
    } else if (!any_name(job)) {
        how = WEIR__PG_DIRECT;
    } else {
        job->letter = (weir__letter){NULL, deliver, drop};
        job->mailbox = weir__mailbox_ref(c->base.env->mailbox);
        job->conn = c;
        job->params = *params;
        int code = weir__thread_start(run, job);
        if (code == 0) {
            *params = (weir__pgparams){0};
            c->resolve = job;
            return WEIR__PG_STARTED;
        }
        job->params = (weir__pgparams){0};
        weir__fail(error, WEIR_ECONNECT, "no thread could be started to look up the host's name: %s",
                   strerror(code));
    }
    if (job) job_free(job);
    return how;
}
