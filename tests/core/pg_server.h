/*
 * A real PostgreSQL server of a test program's own: a fresh cluster in a temporary directory, on a random
 * port and a Unix socket, gone when the program ends. It runs as user postgres when the program runs as root.
 *
 *     role postgres       superuser, no password
 *     role weir           no password, owns database weir
 *     role weir_secret    over TCP with a password (SCRAM) only
 *
 * Start it in main(), before Check forks. Whatever fails here ends the program with a message.
 */
#ifndef WEIR_TESTS_PG_SERVER_H
#define WEIR_TESTS_PG_SERVER_H

#include <stddef.h>

#define PG_SERVER_PASSWORD "canary-7f3a/9@x" /* of weir_secret; must never show up anywhere */
#define PG_SERVER_PASSWORD_URL "canary-7f3a%2F9%40x"

typedef struct pg_server {
    char directory[64]; /* of the Unix socket, too */
    int port;           /* of 127.0.0.1, and of ::1 where the machine has that */
} pg_server;

/* Once a program; later calls give the same one. */
const pg_server *pg_server_start(void);
/* TLS with a certificate of its own making for "localhost"; gives the path of the certificate to trust. */
const char *pg_server_tls(void);
/* Starts a second server, which ends with the process: role postgres alone, over TCP too, and every
   transaction read-only by default. Gives its port, of 127.0.0.1. */
int pg_server_read_only(void);

/* Runs SQL as superuser in database weir, waiting for it. The first value of the last result, to be freed
   with free(); NULL when there is none. */
char *pg_server_query(const char *sql);
/* The same for a number; -1 for none. */
long pg_server_number(const char *sql);
/* "postgresql://weir@/weir?host=…&port=…" and a tail such as "&sslmode=disable", into out, which it gives
 * back. */
char *pg_server_url(char *out, size_t size, const char *tail);

#endif
