/* A statement: SQL text with the values of its parameters ($1, $2 …), immutable once submitted. */
#ifndef WEIRPOOL_STATEMENT_H
#define WEIRPOOL_STATEMENT_H

#include <weirpool/error.h>
#include <weirpool/value.h>

WEIR_BEGIN_DECLS

typedef struct weir_statement weir_statement;

/*
 * A new statement of `length` bytes of UTF-8 text, copied, with one set of parameters, empty as yet: one
 * execution. Returns NULL with *error set: WEIR_EINVAL (a NUL in the text, empty text, more than 1 GiB),
 * WEIR_ENOMEM. A statement may be built by one thread only; when built it may be shared. Counted references.
 */
WEIR_API weir_statement *weir_statement_new(const char *sql, size_t length, weir_error *error);
/*
 * Adds the next parameter of the current set; bytes are copied. What goes wrong here is kept and reported
 * when the statement is submitted, so that a builder needs no check at each value: WEIR_ENOMEM for a failed
 * allocation, WEIR_EVALUE for a set of more than 1 GiB, a value of no known type or a time of day that is
 * none, WEIR_EINVAL for more than 65535 parameters in a set or sets of unequal size. A NULL statement is
 * accepted in this function and the two below, and nothing happens.
 */
WEIR_API void weir_statement_add(weir_statement *statement, const weir_value *value);
/*
 * Where the next parameter may be written before it is added, which spares a copy: give weir_statement_add
 * that place. NULL when there is none, for NULL, without memory or after what went wrong before; then give it
 * a value of your own. Good until the statement is used otherwise.
 */
WEIR_API weir_value *weir_statement_place(weir_statement *statement);
/*
 * Ends the current set and begins the next: the statement becomes an executemany, which runs once for each
 * set, all in one implicit transaction. To build one of any number of sets, call weir_statement_no_sets
 * first, and this before each set.
 */
WEIR_API void weir_statement_add_set(weir_statement *statement);
/* Makes it an executemany of no sets, forgetting what was added: submitted like this, nothing is sent. */
WEIR_API void weir_statement_no_sets(weir_statement *statement);
WEIR_API weir_statement *weir_statement_ref(weir_statement *statement);
/* NULL is accepted. Any thread. */
WEIR_API void weir_statement_unref(weir_statement *statement);

#define WEIR_FINGERPRINT_SIZE 1024 /* of those that a pool keeps, with the NUL */
/*
 * Writes what SQL has in common with the like of it that differs in its literals and parameters alone: ? for
 * each of them, one blank for white space and comments, and one item for those of a list that are then alike,
 * so that in ($1, $2) is in (?), and values (1, 'a'), (2, 'b') is values (?). So it may be shown, and be the
 * key of statistics. Names, true, false and NULL stay, and what a server with settings or a syntax of its own
 * takes for a literal: "…" of SQLite, backslashes without standard_conforming_strings.
 * weir_pool_slow_statements tells statements in this form. At most size - 1 bytes of whole characters, and a
 * NUL; gives their number. Of a text only the first 64 KiB are read. NULL or a size of 0: nothing is read, or
 * written. Any thread.
 */
WEIR_API size_t weir_statement_fingerprint(const char *sql, size_t length, char *out, size_t size);

WEIR_END_DECLS

#endif
