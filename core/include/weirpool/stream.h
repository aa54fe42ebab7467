/*
 * Streams: the rows of a statement batch by batch, in bounded memory.
 *
 * A stream keeps two batches at most: the one that was given out, and the next, which is asked for as soon as
 * the one before it has been taken. Between batches the session is free for other statements, and for other
 * streams; what they and the streams ask for is done one after the other.
 *
 * A stream lives in the innermost transaction or savepoint that is open when it begins, and ends with it: at
 * COMMIT, or when it is rolled back (WEIR_ETRANSACTION); one that began in a savepoint that is released goes
 * on. On a plain connection outside of transactions it has a transaction of its own, which commits when the
 * last row has come, and is rolled back when the stream is closed before; no other statement, transaction or
 * stream may run on that connection meanwhile (WEIR_EBUSY).
 *
 * PostgreSQL: a cursor (DECLARE … NO SCROLL CURSOR, FETCH FORWARD n). It takes SELECT, VALUES, TABLE, and
 * WITH that ends in SELECT. SQLite: a statement that only reads, stepped batch by batch on the connection's
 * thread; as long as it is open the connection keeps a read transaction, which holds up checkpoints of a WAL.
 *
 * A stream may be used in different threads, by one at a time.
 */
#ifndef WEIRPOOL_STREAM_H
#define WEIRPOOL_STREAM_H

#include <weirpool/session.h>

WEIR_BEGIN_DECLS

#define WEIR_STREAM_ROWS 1000 /* in a batch, unless the caller says otherwise */
#define WEIR_STREAM_ROWS_MAX 1000000

/* A value, copied at will: it names the stream. Zero-initialised: none. It needs no freeing: a stream that is
   not closed goes when its session's loan ends. */
typedef struct weir_stream {
    weir_session session;
    uint64_t number;
} weir_stream;

/*
 * Begins to stream; the first batch is asked for at once. rows: in each batch, 1 to WEIR_STREAM_ROWS_MAX; 0
 * is WEIR_STREAM_ROWS. Of *run (NULL: as weir_run_init) only timeout_ms counts: a batch's, from when it is
 * asked for or waited for; WEIR_TIMEOUT_DEFAULT is command_timeout. The statement is ref'd. WEIR_OK, or an
 * error: WEIR_EINVAL (an executemany, a statement that gives no rows, rows out of range), WEIR_EBUSY (see
 * above), WEIR_ENOMEM, and those of a session that has ended. What the database says of the statement comes
 * with weir_stream_next.
 */
WEIR_API int weir_session_stream(weir_session session, weir_statement *statement, size_t rows,
                                 const weir_run *run, weir_stream *out, weir_error *error);
/*
 * The next batch. WEIR_OK: *out is it, the caller's (weir_result_free), of one row or more; NULL: there are
 * no more rows. WEIR_PENDING: it comes with the completion, in `result`. Errors, also the completion's: the
 * database's, after which the stream has ended and says the same again; WEIR_ECOMMANDTIMEOUT;
 * WEIR_ETRANSACTION; WEIR_EBUSY (somebody waits for the next batch already), WEIR_ESTALE (the stream was
 * closed), those of a session that has ended. Cancelling the operation cancels the statement and ends the
 * stream, as it does with any other statement: a transaction can then only be rolled back, on PostgreSQL.
 */
WEIR_API int weir_stream_next(weir_stream stream, void *token, weir_result **out, weir_op *op,
                              weir_error *error);
/*
 * Ends it, at once and without waiting; whoever waits for a batch gets WEIR_ECANCELLED. What is left on the
 * server is closed in the background: a batch that was asked for already is awaited first, within its
 * time-out, since to cancel it would break the holder's transaction. The session can be used meanwhile: what
 * it runs waits for that. WEIR_OK; WEIR_ESTALE or the session's error when it has ended before, which is
 * harmless.
 */
WEIR_API int weir_stream_close(weir_stream stream);

WEIR_END_DECLS

#endif
