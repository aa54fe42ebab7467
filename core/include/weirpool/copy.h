/*
 * COPY between a session and its caller, in text, CSV or binary form: the bytes pass through. PostgreSQL
 * only; WEIR_ENOTSUP elsewhere. A COPY is one statement in many steps:
 *
 *     weir_session_copy_in(…, "COPY t FROM STDIN (FORMAT csv)", …);       weir_session_copy_out(…, "COPY t TO
 * STDOUT", …); weir_session_copy_put(…) for each piece;                            weir_session_copy_take(…)
 * until it gives no row weir_session_copy_end(…)
 *
 * Each step is an operation of its own, and one runs at a time (WEIR_EBUSY). Between the steps the session
 * does nothing else. Its time-out is over all of them. When a step fails, or is cancelled, the COPY has
 * ended, nothing of a COPY FROM is kept, and the session can be used again; an error that comes between two
 * steps is the next one's.
 */
#ifndef WEIRPOOL_COPY_H
#define WEIRPOOL_COPY_H

#include <weirpool/pool.h>

WEIR_BEGIN_DECLS

/* Begins a COPY … FROM STDIN; complete when the server takes data. The statement has no parameters and is
 *ref'd; of run (NULL: as weir_run_init) only timeout_ms counts. WEIR_EINVAL: the text is something else. */
WEIR_API int weir_session_copy_in(weir_session session, weir_statement *statement, const weir_run *run,
                                  void *token, weir_op *op, weir_error *error);
/*
 * The next bytes, from anywhere in a row to anywhere; they are copied. WEIR_OK: at once, go on. WEIR_PENDING:
 * complete when they have been sent. What is buffered is what one put was given, so give pieces, of 64 KiB or
 * so. An error that the server finds in the data comes with one of the next puts, or with the end.
 */
WEIR_API int weir_session_copy_put(weir_session session, const void *data, size_t length, void *token,
                                   weir_op *op, weir_error *error);
/* That was all. WEIR_PENDING; the completion's result tells how many rows there were (weir_result_affected).
   WEIR_EOUTCOME: there was no answer to this, in autocommit; WEIR_EOUTCOMETIMEOUT: none in time. */
WEIR_API int weir_session_copy_end(weir_session session, void *token, weir_op *op, weir_error *error);

/* Begins a COPY … TO STDOUT; complete when the server has begun. Otherwise as weir_session_copy_in. */
WEIR_API int weir_session_copy_out(weir_session session, weir_statement *statement, const weir_run *run,
                                   void *token, weir_op *op, weir_error *error);
/* WEIR_PENDING; the completion's result has one row of one value of type bytes: whole rows of the COPY, about
   64 KiB of them, or what there is. No more than that is read ahead. Without a row it is the end, and has the
   COPY's weir_result_affected. */
WEIR_API int weir_session_copy_take(weir_session session, void *token, weir_op *op, weir_error *error);

/* WEIR_PENDING: the operation completes when the COPY ends (TO STDOUT: when its end has been taken), with
   WEIR_OK, or why it has failed, its deadline among that; the steps tell the same. For who waits between two
   steps: for his next bytes, or for a place to put them. It may run beside a step. WEIR_EBUSY: there is one
   already. WEIR_EINVAL: no COPY runs. */
WEIR_API int weir_session_copy_watch(weir_session session, void *token, weir_op *op, weir_error *error);

/* Ends a COPY in failure, at once and without waiting: the rest is done in the background, and the session's
   next operation waits for it. A transaction that is open has failed then. Harmless when no COPY runs.
   WEIR_EBUSY: a step runs: cancel that, which does the same. */
WEIR_API int weir_session_copy_abort(weir_session session, weir_error *error);

/*
 * Rows for a COPY … FROM STDIN, made of values. `like` has the columns in their order, as the result of
 * "SELECT a, b FROM t WHERE false" has them; it is read once, and stays the caller's. NULL: WEIR_ENOTSUP (no
 * result of PostgreSQL, or one without columns), WEIR_ENOMEM. Used by one thread at a time; it may outlive
 * its pool.
 */
typedef struct weir_copy_rows weir_copy_rows;
WEIR_API weir_copy_rows *weir_copy_rows_new(const weir_result *like, weir_error *error);
/*
 * Encodes a row for each set of `sets`, whose text does not matter. *data (*length bytes) is what to put: it
 * is the encoder's until the next call. Values suit columns as they suit parameters. WEIR_EVALUE: one does
 * not; its set is counted over all calls. WEIR_EINVAL: sets of another size than there are columns.
 * WEIR_ENOMEM. After an error the encoder is as before, and nothing has been encoded.
 */
WEIR_API int weir_copy_rows_encode(weir_copy_rows *rows, const weir_statement *sets, const void **data,
                                   size_t *length, weir_error *error);
/* What the COPY has to name as its FORMAT: "binary"; "text", if the first call had values for which there is
   no binary form (dates given as text, addresses …). Until the first call it is "binary". */
WEIR_API const char *weir_copy_rows_format(const weir_copy_rows *rows);
/* NULL is accepted. */
WEIR_API void weir_copy_rows_free(weir_copy_rows *rows);

WEIR_END_DECLS

#endif
