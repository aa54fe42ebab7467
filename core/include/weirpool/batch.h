/*
 * A whole transaction in one go: BEGIN, its statements and COMMIT are sent together, on a connection of the
 * pool's choice, and answered in one round trip once their parameters' types are known to the pool.
 *
 *     weir_batch *batch = weir_batch_new();
 *     weir_batch_add(batch, first, &error); …
 *     weir_pool_transaction(pool, batch, NULL, NULL, token, &op, &error);
 *     … the completion: weir_batch_result(batch, 0) …
 *     weir_batch_free(batch);
 *
 * A batch is for one caller at a time; it may be run again once its transaction has ended.
 */
#ifndef WEIRPOOL_BATCH_H
#define WEIRPOOL_BATCH_H

#include <weirpool/pool.h>
#include <weirpool/result.h>

WEIR_BEGIN_DECLS

typedef struct weir_batch weir_batch;

/* NULL: out of memory. */
WEIR_API weir_batch *weir_batch_new(void);
/* Lets go of it, also while it runs. NULL is accepted. */
WEIR_API void weir_batch_free(weir_batch *batch);
/* Puts a statement, which is ref'd, at the end. WEIR_EBUSY while the batch runs; WEIR_ENOMEM. */
WEIR_API int weir_batch_add(weir_batch *batch, weir_statement *statement, weir_error *error);
WEIR_API size_t weir_batch_size(const weir_batch *batch);
/* What the statement of that number, from 0, has given; the batch's, until it is freed or run again. NULL
   before the transaction has ended well, and out of range. */
WEIR_API weir_result *weir_batch_result(const weir_batch *batch, size_t number);
/* The number of the statement that the error of the last run came from; weir_batch_size: none of them. */
WEIR_API size_t weir_batch_failed(const weir_batch *batch);

/*
 * Runs the statements in a transaction that commits when all have succeeded, and otherwise changes nothing.
 * `begin` (NULL: the database's default) tells how it begins; of *run only timeout_ms counts, over waiting
 * and running together, as in weir_pool_execute. Without statements it is done at once: WEIR_OK. WEIR_EINVAL:
 * one of them begins or ends a transaction or savepoint by its first keyword (COMMIT, ROLLBACK TO …).
 * WEIR_PENDING: WEIR_DONE_BATCH follows, with the error of the first statement that failed, or WEIR_EOUTCOME
 * when COMMIT was sent and there was no answer, WEIR_EOUTCOMETIMEOUT when none came in time. In the pool's
 * numbers it is one query.
 */
WEIR_API int weir_pool_transaction(weir_pool *pool, weir_batch *batch, const weir_transaction *begin,
                                   const weir_run *run, void *token, weir_op *op, weir_error *error);

WEIR_END_DECLS

#endif
