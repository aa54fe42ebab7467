/* Notices: what a server says beside its answers, as RAISE NOTICE has it do. */
#ifndef WEIRPOOL_NOTICE_H
#define WEIRPOOL_NOTICE_H

#include <weirpool/reactor.h>

WEIR_BEGIN_DECLS

typedef struct weir_notice {
    void *token;      /* weir_pool_open's */
    uint64_t dropped; /* so many before this one were dropped, since nobody had taken them */
    /* NULL where the server gave none. severity: NOTICE, WARNING, INFO, LOG or DEBUG, in English whatever the
       server's language; where: the context, such as the lines of functions. */
    const char *severity, *sqlstate, *message, *detail, *hint, *where;
} weir_notice;

/*
 * Takes the oldest notice that came on a connection of a pool with the option notice_hook: *out is the
 * caller's (weir_notice_free). False when there is none. Notices come while somebody drives the reactor, each
 * before the completion of its statement: take them whenever completions are taken. At most 4,096 of 4 MiB
 * are kept; the oldest are dropped first.
 */
WEIR_API bool weir_reactor_next_notice(weir_reactor *reactor, weir_notice **out);
/* NULL is accepted. Any thread. */
WEIR_API void weir_notice_free(weir_notice *notice);

WEIR_END_DECLS

#endif
