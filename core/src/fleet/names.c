/* The pods as a name's addresses: looked up by a thread, since that blocks. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"
#include "fleet/fleet.h"

/* The thread's; but for `fleet`, which belongs to the lock. */
struct weir__lookup {
    weir__letter letter; /* first */
    weir__mailbox *mailbox;
    weir__fleet *fleet; /* NULL: nobody wants it any more */
    int code, pods;
    char name[];
};

static void lookup_free(weir__lookup *lookup) {
    weir__mailbox_unref(lookup->mailbox);
    weir__free(lookup);
}

/* A pod has an address of each kind that its cluster has, so the more frequent one counts. */
static int count(const struct addrinfo *list) {
    int of_four = 0, of_six = 0;
    for (; list; list = list->ai_next) {
        of_four += list->ai_family == AF_INET;
        of_six += list->ai_family == AF_INET6;
    }
    return of_four > of_six ? of_four : of_six;
}

static void *run(void *arg) {
    weir__lookup *lookup = arg;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    lookup->code = getaddrinfo(lookup->name, NULL, &hints, &list);
    if (!lookup->code) {
        lookup->pods = count(list);
        freeaddrinfo(list);
    }
    weir__mailbox *mailbox = weir__mailbox_ref(lookup->mailbox);
    weir__mailbox_post(mailbox, &lookup->letter); /* it is not ours any more */
    weir__mailbox_unref(mailbox);
    return NULL;
}

static void failed(weir__fleet *fleet, const char *why) {
    char text[400];
    snprintf(text, sizeof text, "pod_service=%.200s: %s", weir__fleet_options(fleet)->pod_service, why);
    weir__fleet_failed(fleet, text);
}

static void deliver(weir__letter *letter) {
    weir__lookup *lookup = (weir__lookup *)letter;
    weir__fleet *fleet = lookup->fleet;
    if (fleet) {
        fleet->lookup = NULL;
        if (lookup->code || !lookup->pods) {
            failed(fleet, lookup->code ? gai_strerror(lookup->code) : "it has no address");
        } else {
            int64_t pace = weir__fleet_pace(fleet, false); /* by the looks before this one */
            weir__fleet_answer(fleet, lookup->pods,
                               weir__sizing_share_of(weir__fleet_options(fleet), lookup->pods));
            weir__fleet_look_in(fleet, pace);
        }
    }
    lookup_free(lookup);
}

static void drop(weir__letter *letter) { lookup_free((weir__lookup *)letter); }

void weir__names_look(weir__fleet *fleet) {
    weir_pool *pool = fleet->extension.pool;
    const char *name = pool->config->options.pod_service;
    size_t size = strlen(name) + 1;
    weir__lookup *lookup = weir__calloc(1, sizeof *lookup + size);
    if (!lookup) {
        failed(fleet, "out of memory");
        return;
    }
    lookup->letter = (weir__letter){NULL, deliver, drop};
    lookup->mailbox = weir__mailbox_ref(pool->reactor->mailbox);
    lookup->fleet = fleet;
    memcpy(lookup->name, name, size);
    int code = weir__thread_start(run, lookup);
    if (!code) {
        fleet->lookup = lookup;
        return;
    }
    lookup_free(lookup);
    failed(fleet, strerror(code));
}

void weir__names_end(weir__fleet *fleet) {
    if (fleet->lookup) fleet->lookup->fleet = NULL;
    fleet->lookup = NULL;
}
