/*
 * What a database driver is: a table of steps none of which blocks, and what it may ask of its host.
 *
 * A driver knows no pool, no reactor, no thread but its own helpers. Everything below is called with the
 * host's lock held, unless it says otherwise, so a driver needs no lock for its connections. A driver's calls
 * to the host come from inside such a call (`ready`, `tick`, `execute` …) or from a letter that the host
 * delivers (helper threads post). The host never calls back into the driver from inside a host call: it only
 * notes what it was told, except that `free` may follow a `down`, later and without the lock.
 *
 * The life of a connection:
 *
 *     create -> connect -> [connected] -> { execute -> [done] | reset -> [done] }* -> stop -> [down] -> free
 *                   \-> [lost]                    \-> cancel -> [done]
 *
 * A driver that pipelines takes another execute before the last is done; reset comes when nothing runs.
 *
 * [in brackets]: what the driver tells the host. After [lost] only `stop` is called. `stop` is legal at any
 * time, once.
 */
#ifndef WEIR_DRIVER_DRIVER_H
#define WEIR_DRIVER_DRIVER_H

#include <weirpool/notice.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/statement.h"
#include "config/config.h"
#include "driver/result.h"

typedef struct weir__driver weir__driver;
typedef struct weir__env weir__env; /* what the connections of one pool share; each driver embeds it first */
typedef struct weir__conn weir__conn; /* each driver embeds it first */

enum { WEIR__READ = 1, WEIR__WRITE = 2 };

/* What a request's statement is. */
typedef enum weir__mode {
    WEIR__STATEMENT,
    WEIR__SCRIPT, /* any number of commands in one text, without parameters; the result has the last one's tag
                   */
    WEIR__COPY_IN,  /* COPY … FROM STDIN */
    WEIR__COPY_OUT, /* COPY … TO STDOUT */
} weir__mode;

/* How a COPY stands that runs. */
typedef enum weir__copying {
    WEIR__COPY_NONE,  /* none does, or it has not begun */
    WEIR__COPY_BUSY,  /* it has begun; IN: what was put is still being sent; OUT: nothing has come */
    WEIR__COPY_READY, /* IN: it takes data; OUT: a chunk is there */
} weir__copying;

/* One thing that a connection does for its host, which owns it and keeps it in its place until `done`. */
typedef struct weir__request {
    /* ---- the wish ---- */
    weir_statement *statement; /* what to run; NULL when there is only `command` */
    weir__mode mode;     /* what that is; anything but WEIR__STATEMENT runs with no other request beside it */
    const char *command; /* COMMIT, ROLLBACK, RELEASE … : text of the driver's own making, or NULL */
    const char *const
        *before; /* `before_count` commands (BEGIN …, SAVEPOINT …) that run first, in the same round trip; */
    unsigned before_count; /* when one fails the rest is not run, and its error is the request's */
    int64_t
        timeout_ms; /* for the server's own guard (statement_timeout); -1 none. The host keeps the deadline */
    bool readonly;  /* whatever writes is to be refused; it may share a round trip's end with others */
    bool hold;      /* it need not be sent before `flush` */
    bool chain; /* it is part of a transaction that those before it have begun, in the same chain, or earlier:
                   when one of them has failed it is not run (25P02) */
    uint64_t cursor; /* not 0: of the statement's rows, which must be of one that only reads, the first `rows`
                        are wanted, and with each later request of that number the next. When there are fewer,
                        or it fails, the cursor is closed; without a statement it is closed, too. The numbers
                        of a connection grow. Only for drivers without `cursor` */
    size_t rows;
    /* ---- the outcome, set by the driver before `done` ---- */
    int code; /* WEIR_OK, or the error's code */
    weir_result
        *result; /* the statement's, owned by whoever takes it; NULL on failure, and for a command alone */
    weir_error *error; /* owned by whoever takes it; NULL on success */
    unsigned begun;    /* so many of `before` have been run with success; 0 when nothing was sent */
    bool rolled_back; /* `command` was COMMIT and the server answered ROLLBACK (code is WEIR_EROLLEDBACK then)
                       */
} weir__request;

/* The state of a connection's transaction, as the database says it. */
typedef enum weir__tx { WEIR__TX_NONE, WEIR__TX_OPEN, WEIR__TX_FAILED } weir__tx;

/* What a connection's server is for. */
typedef enum weir__role {
    WEIR__ROLE_UNKNOWN,
    WEIR__ROLE_WRITES,
    WEIR__ROLE_READS,   /* its default is that transactions are read only, and the driver has not set that */
    WEIR__ROLE_STANDBY, /* it takes no writes */
} weir__role;

typedef enum weir__isolation {
    WEIR__ISOLATION_DEFAULT,
    WEIR__READ_UNCOMMITTED,
    WEIR__READ_COMMITTED,
    WEIR__REPEATABLE_READ,
    WEIR__SERIALIZABLE,
} weir__isolation;

/* How a transaction is to begin. */
typedef struct weir__begin {
    weir__isolation isolation;
    bool readonly, deferrable;
} weir__begin;

/* How a statement's rows are had by and by in statements. */
typedef struct weir__cursor {
    weir_statement *open, *fetch; /* owned by whoever has the struct */
    int offset;                   /* the statement's text begins behind so many characters of open's */
    char close[48];
} weir__cursor;

/* What a statement's text says of it, to a host that lets statements share connections. */
enum {
    WEIR__TEXT_STATE = 1,  /* its first keyword changes the state of its connection: BEGIN, SET, LISTEN … */
    WEIR__TEXT_SHARES = 2, /* may run on a connection that others' statements share: leaves nothing behind */
    WEIR__TEXT_READS = 4,  /* its first keyword is one of those that may stand in a readonly request */
    WEIR__TEXT_AGAIN = 8,  /* only reads, and calls nothing that could do more: may be run twice, unseen */
    WEIR__TEXT_TRANSACTION = 16, /* begins or ends a transaction, or a savepoint */
    WEIR__TEXT_LISTEN = 32,      /* it is LISTEN */
};

typedef struct weir__host {
    /* Watches fd for WEIR__READ | WEIR__WRITE, level-triggered; `ready` is called. 0 ends it: always do so
       before the descriptor is closed or changed. One descriptor a connection. False: out of memory or of
       watches. */
    bool (*watch)(weir__conn *conn, int fd, unsigned events);
    /* `tick` is called once, at that time of the clock; WEIR__NEVER disarms. One timer a connection. */
    void (*arm)(weir__conn *conn, int64_t at);
    /* connect has succeeded. */
    void (*connected)(weir__conn *conn);
    /* The connection is dead, or could not be made; *why is taken over. A request that was running has been
       told `done` before (with WEIR_ELOST, WEIR_EOUTCOME …). */
    void (*lost)(weir__conn *conn, weir_error *why);
    /* A request that execute or reset was given has ended. After a `cancel` the last one's end is told only
       when the cancellation cannot hit a later request any more. */
    void (*done)(weir__conn *conn, weir__request *request);
    /* After stop: nothing of the connection is in use any more but its memory; free may be called. */
    void (*down)(weir__conn *conn);
    /* conn->copy has become another one. */
    void (*copied)(weir__conn *conn);
    /* The server has something to say beside its answers. The texts are valid during the call only. */
    void (*noticed)(weir__conn *conn, const weir_notice *notice);
    /* A notification has come, on a channel that was LISTENed on. Likewise. NULL: nobody wants them. */
    void (*notified)(weir__conn *conn, const char *channel, const char *payload, int backend);
} weir__host;

struct weir__env {
    const weir__driver *driver;
    const weir__config *config; /* outlives the env */
    const weir__host *host;
    const weir__clock *clock;
    const weir__log *log; /* call weir__logf at will: lines are queued */
    weir__mailbox
        *mailbox; /* where helper threads post their letters; letters are delivered under the host's lock */
};

struct weir__conn {
    weir__env *env;
    void *owner;            /* the host's */
    weir__request *request; /* what is running, for drivers that take one at a time; NULL: nothing */
    weir__tx tx;            /* kept by the driver, right whenever all requests are done */
    bool wiped; /* the last reset has undone what was there at `baseline`, too: it wants to be set up again */
    int backend;        /* the server's process id, for people who look; 0 unknown */
    uint64_t xid;       /* of the transaction that is open; 0 none, or unknown */
    weir__copying copy; /* kept by the driver */
};

struct weir__driver {
    const char *name; /* "postgresql": equals the URL's scheme */
    bool scripts;     /* runs WEIR__SCRIPT */
    bool pipelines;   /* takes further requests while earlier ones run; their ends may be told in any order */
    bool listens; /* knows the commands LISTEN and UNLISTEN, and an empty one that only has itself answered */
    /* WEIR__TEXT_… of a statement; all but TRANSACTION only of a driver that pipelines. */
    unsigned (*classify)(const weir__env *env, const weir_statement *statement);

    /* Checks what only the driver knows (the URL's parameters), and makes what a pool's connections share. No
       network. NULL with *error set: WEIR_EOPTION names the unknown parameter and the nearest known one. The
       driver allocates its own struct with weir__env first, and fills in nothing but its own part: the host's
       fields are given in *base. */
    weir__env *(*env_open)(const weir__env *base, weir_error *error);
    void (*env_close)(weir__env *env); /* no connection is left; not under the lock */

    weir__conn *(*create)(weir__env *env, void *owner); /* NULL: out of memory */
    void (*connect)(weir__conn *conn); /* -> connected, or lost; may be told before it returns */
    void (*ready)(weir__conn *conn, unsigned events); /* the watched descriptor */
    void (*tick)(weir__conn *conn);                   /* the armed time has come */

    /* -> done; may be told before it returns. The statement is ref'd by the driver if it needs it after
     * `done`. */
    void (*execute)(weir__conn *conn, weir__request *request);
    /*
     * The steps of a COPY that has begun, until its request is `done`; NULL: this driver knows none. `cancel`
     * breaks one off.
     */
    /* IN: the next bytes, whatever the copy's state: all of them are taken over. The request ends when that
       fails. */
    void (*copy_put)(weir__conn *conn, const void *data, size_t length);
    /* IN: that was all -> done. */
    void (*copy_end)(weir__conn *conn);
    /* OUT: what has come, a result of one value of type bytes; NULL: nothing. No more than a bound is read
       ahead. -> done, once all has been taken. */
    weir_result *(*copy_take)(weir__conn *conn);
    /* Sends what was held back. NULL: this driver holds nothing back. */
    void (*flush)(weir__conn *conn);
    /* Whether the request, which runs, is a write in autocommit that has been sent, or will be, and may yet
       be done though it was given up: nobody knows. NULL: of this driver's all is known. */
    bool (*doubtful)(weir__conn *conn, const weir__request *request);
    /* Ends all that runs soon: it will be `done`, with whatever outcome. The host has its own bound, and
       calls `stop` when it takes too long. Called once, and no request is given before all are done. */
    void (*cancel)(weir__conn *conn);
    /* Makes the connection fit for the next borrower: ends a transaction, and undoes what statements left
       behind as `how` (not WEIR__RESET_DEFAULT) wants it. False: there was nothing to do. True: request will
       be `done`; when it failed, or a transaction is open then, the host stops the connection. */
    bool (*reset)(weir__conn *conn, weir__request *request, weir__reset how);
    /* What the host has set up by statements so far, its init, is no longer something left behind. Nothing
     * runs. */
    void (*baseline)(weir__conn *conn);
    /* A look at the socket without a round trip; false: it is dead, and `lost` has not been told. */
    bool (*alive)(weir__conn *conn);
    /* As the server has told last, with an answer. NULL: this driver's have none. */
    weir__role (*role)(weir__conn *conn);

    /* Begins the end: no more calls to `connected`, `lost`, `done` after it has returned; a running request
       is abandoned without `done`. -> down, at once or later. */
    void (*stop)(weir__conn *conn);
    void (*free)(weir__conn *conn); /* after down; not under the lock; may block shortly */
    /* As free, but leaves the socket open, which is given: its end of stream is there when the server is done
       with the connection. -1: there is none. NULL: this driver's connections have no server. */
    int (*leave)(weir__conn *conn);

    /* The text that begins a transaction ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"): static, or the
       env's. NULL with *error set (WEIR_ENOTSUP, WEIR_EINVAL). */
    const char *(*begin)(weir__env *env, const weir__begin *begin, weir_error *error);

    /* What has to be run in a transaction for `rows` rows of a statement at a time; `number` is no other open
       cursor's of the connection. WEIR_EINVAL: the statement gives no rows; WEIR_ENOMEM. NULL: this driver
       takes request->cursor instead, and needs no transaction for it. */
    int (*cursor)(const weir_statement *statement, unsigned number, size_t rows, weir__cursor *out,
                  weir_error *error);
};

extern const weir__driver weir__postgres_driver;
extern const weir__driver weir__sqlite_driver;

/* By the URL's scheme; NULL when there is none. */
const weir__driver *weir__driver_find(const char *scheme);

#endif
