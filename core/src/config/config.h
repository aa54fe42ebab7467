/* A pool's settings, checked and owned: the options with the URL's query and the environment merged in, and
 * the URL's parts. */
#ifndef WEIR_CONFIG_CONFIG_H
#define WEIR_CONFIG_CONFIG_H

#include <weirpool/options.h>

#include "config/reset.h"

typedef struct weir__pair {
    char *name, *value;
} weir__pair;

typedef struct weir__endpoint {
    char *host; /* a name, an address (IPv6 without brackets), "/a/directory"; "" when the URL names none */
    char *port; /* digits, or "" */
} weir__endpoint;

/* Immutable once made: any thread may read it. All texts are percent-decoded. */
typedef struct weir__config {
    weir_options options;  /* url, name and texts point into memory that the config owns; url has what is
                              secret cut out: the password, and the query from its first secret pair on */
    weir__reset reset;     /* the option; never WEIR__RESET_DEFAULT */
    char *scheme;          /* "postgresql" (also for postgres), "sqlite"; what follows a '+' is dropped */
    char *user, *password; /* NULL when not given */
    char *database; /* PostgreSQL: the name, NULL when not given. SQLite: the file's path, "" for memory */
    weir__endpoint *endpoints; /* PostgreSQL: one at least. SQLite: none */
    size_t endpoint_count;
    weir__pair *parameters; /* the query's pairs that are no pool options, in order: the driver checks them */
    size_t parameter_count;
    weir__pair *settings; /* server_settings; application_name is always there, from the query if it has it */
    size_t setting_count;
    weir_codec *codecs; /* with texts of the config's own */
    size_t codec_count;
    char pod[24]; /* what its connections' application_name ends with, so that they are known as its; or "" */
} weir__config;

/*
 * NULL with *error set: WEIR_EOPTION for whatever is wrong with an option or the URL (the message names what,
 * and the remedy; it never holds the password, nor an URL that could not be parsed), WEIR_ENOMEM.
 *
 * Forms:
 *   postgresql://user:pw@host:5432,[::1]:5433/db?sslmode=require&max_size=8
 *   postgres://  postgresql+asyncpg://
 *   postgresql:///db?host=/var/run/postgresql
 *   postgresql://%2Fvar%2Frun/db
 *   sqlite:///relative.db  sqlite:////absolute.db  sqlite+aiosqlite:///…
 *   :memory:  sqlite://  sqlite:///:memory:
 *
 * A raw '@' or ':' that makes the password's end ambiguous is refused: percent-encode it. host=, user=,
 * password=, dbname= … in the query stay parameters. A name that stands twice there is refused.
 */
weir__config *weir__config_new(const weir_options *options, weir_error *error);
void weir__config_free(weir__config *config); /* NULL is accepted; the password's memory is wiped */

#endif
