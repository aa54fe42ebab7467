/*
 * Sending. A request takes one trip to the server, or two or three when its parameters' types are not known
 * yet:
 *
 *     [SET statement_timeout] [DEALLOCATE] [Sync]    the pool's own; apart, because VACUUM and its kind
 *                                                    stand no other command before their Sync
 *     [SET default_transaction_read_only] [Sync]     when what was asked before was of the other kind
 *     [before] [SET transaction_read_only]           the latter where the session's own may not hold
 *     [Parse] [Describe, Sync]                       Describe in the first of two trips only
 *     [question for the database's own types] [Sync] a trip between them, when it names unknown ones
 *     Bind, Execute for each set                     as fast as the socket takes them
 *     [command] Sync
 *
 * Requests are sent one behind the other, without waiting for answers, but for those that have to know what
 * the earlier ones have done. Readonly ones may share the last Sync: WEIR__PG_GROUP of them at most, and only
 * when they are sent in one go.
 *
 * What one Sync ends is one transaction, and read only because the session is so by default. A function may
 * undo that, which is known when its Sync has been answered. So a transaction's own first command makes it
 * read only behind a text with calls, until that is answered; behind any text in a pool that has seen the
 * default undone; and always behind a proxy, where the session is anybody's. The server lets nobody take that
 * command back once a statement has run, but by ending the transaction, for which no readonly request has the
 * words: its first keyword is one of those that read. It costs some µs, the session's default nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/pg.h"

/* libpq takes no description of more parameters: such a message is over its limit of 30,000 bytes, and it
   gives the connection up. */
#define DESCRIBED_MAX 7000
#define FLUSH_BYTES ((size_t)64 * 1024)
#define DOOMED_MAX 64 /* more of them are not left to the end of a transaction */

/* ---- what waits for its answer */

static weir__pgstep *step_at(const weir__pgconn *c, size_t i) {
    return &c->steps[(c->step_first + i) & (c->step_capacity - 1)];
}

bool weir__pg_reserve(weir__pgconn *c) {
    if (c->step_count + WEIR__PG_TRIP_STEPS <= c->step_capacity) return true;
    size_t capacity = c->step_capacity ? 2 * c->step_capacity : 2 * WEIR__PG_TRIP_STEPS;
    weir__pgstep *steps = weir__malloc(capacity * sizeof *steps);
    if (!steps) return false;
    for (size_t i = 0; i < c->step_count; i++) steps[i] = *step_at(c, i);
    weir__free(c->steps);
    c->steps = steps;
    c->step_first = 0;
    c->step_capacity = capacity;
    return true;
}

void weir__pg_push(weir__pgconn *c, weir__pgop *op, weir__pgstep_kind kind) {
    op->steps++;
    if (c->step_count) {
        weir__pgstep *last = step_at(c, c->step_count - 1);
        if (last->kind == kind && last->op == op) {
            last->left++;
            return;
        }
    }
    *step_at(c, c->step_count++) = (weir__pgstep){op, kind, 1};
}

bool weir__pg_send(weir__pgconn *c, weir__pgop *op, const char *text, weir__pgstep_kind kind) {
    if (!PQsendQueryParams(c->pg, text, 0, NULL, NULL, NULL, NULL, 0)) return false;
    weir__pg_push(c, op, kind);
    return true;
}

bool weir__pg_send_sync(weir__pgconn *c, weir__pgop *op) {
    int (*quietly)(PGconn *) = weir__pg_library()->send_pipeline_sync;
    if (!(quietly ? quietly(c->pg) : PQpipelineSync(c->pg))) return false;
    weir__pg_push(c, op, WEIR__STEP_SYNC);
    c->grouped = 0;
    return true;
}

bool weir__pg_send_guard(weir__pgconn *c, weir__pgop *op, int64_t guard_ms) {
    char text[64];
    snprintf(text, sizeof text, "SET statement_timeout = %" PRId64, guard_ms);
    op->guard_sent = c->guard_ms = guard_ms;
    return weir__pg_send(c, op, text, WEIR__STEP_GUARD);
}

void weir__pg_send_failed(weir__pgconn *c) {
    weir_error why = WEIR_ERROR_INIT;
    weir__pg_lost_error(&why, c->pg);
    weir__pg_lose(c, &why);
}

/* The types of the parameters and columns; NULL: out of memory. */
static Oid *described_types(const PGresult *described, size_t *count) {
    int parameters = PQnparams(described), columns = PQnfields(described);
    *count = (size_t)parameters + (size_t)columns;
    Oid *oids = weir__calloc(*count + 1, sizeof *oids);
    for (int i = 0; oids && i < parameters; i++) oids[i] = PQparamtype(described, i);
    for (int i = 0; oids && i < columns; i++) oids[parameters + i] = PQftype(described, i);
    return oids;
}

static int send_types(weir__pgconn *c, weir__pgop *op, weir__buffer *wanted, weir__buffer *names) {
    const char *const values[] = {weir__buffer_string(wanted), weir__buffer_string(names)};
    if (!values[0] || !values[1] || !weir__pg_reserve(c)) {
        weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
        return 0;
    }
    if (!PQsendQueryParams(c->pg, WEIR__PGTYPES_QUERY, 2, NULL, values, NULL, NULL, 0)) return -1;
    weir__pg_push(c, op, WEIR__STEP_TYPES);
    op->describing = true;
    return weir__pg_send_sync(c, op) ? 1 : -1;
}

int weir__pg_send_question(weir__pgconn *c, weir__pgop *op) {
    const weir__config *config = c->base.env->config;
    weir__buffer wanted = WEIR__BUFFER_INIT, names = WEIR__BUFFER_INIT;
    size_t count;
    int sent = 0;
    Oid *oids = described_types(op->described, &count);
    if (!oids)
        weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
    else if (weir__pgtypes_ask(weir__pg_env(c)->types, config->codecs, config->codec_count, oids, count,
                               &wanted, &names))
        sent = send_types(c, op, &wanted, &names);
    weir__free(oids);
    weir__buffer_free(&wanted);
    weir__buffer_free(&names);
    return sent;
}

/* ---- the pool's own commands */

/* The statement_timeout that the request needs and the server does not have yet; -1: nothing to do. */
static int64_t missing_guard(const weir__pgconn *c, int64_t timeout_ms) {
    int64_t normal = weir__pg_env(c)->guard_ms, now = c->guard_ms, wanted = 0;
    if (!normal || c->guard_foreign || c->ahead_tx == WEIR__TX_FAILED) return -1;
    if (timeout_ms >= 0) {
        bool fits = timeout_ms <= INT32_MAX - WEIR__PG_GUARD_MARGIN_MS;
        wanted = fits ? timeout_ms + WEIR__PG_GUARD_MARGIN_MS : INT32_MAX;
        if (wanted < normal) wanted = normal;
    }
    if (now == 0 || (now > 0 && wanted && wanted <= now)) return -1;
    return wanted;
}

static bool send_deallocate(weir__pgconn *c, weir__pgop *op) {
    weir__link *link;
    for (link = c->doomed.next; link != &c->doomed; link = link->next) {
        const weir__prepared *prepared = weir__container(link, weir__prepared, doomed);
        char text[64];
        snprintf(text, sizeof text, "DEALLOCATE %s", prepared->name);
        if (!weir__pg_send(c, op, text, WEIR__STEP_DEALLOCATE)) return false;
    }
    weir__pg_doomed_free(c);
    return true;
}

/* A failed DEALLOCATE would break a transaction. */
static bool may_deallocate(const weir__pgconn *c) {
    return c->doomed_count &&
           (c->ahead_tx == WEIR__TX_NONE || (c->ahead_tx == WEIR__TX_OPEN && c->doomed_count > DOOMED_MAX));
}

/* What is set in the session is this connection's alone, and a change is told. Proxies that lend connections
   by transaction want no prepared statements, or refuse settings at start-up; the change servers tell from 14
   on. */
bool weir__pg_has_own_session(const weir__pgconn *c) {
    return c->statements.limit && !weir__pg_env(c)->startup_refused && PQserverVersion(c->pg) >= 140000;
}

/* Whether the server is to be told what kind the request is. */
static bool is_of_other_mode(const weir__pgconn *c, const weir__pgop *op) {
    if (c->readonly == op->request->readonly || c->ahead_tx != WEIR__TX_NONE) return false;
    return c->readonly || weir__pg_has_own_session(c);
}

static bool send_mode(weir__pgconn *c, weir__pgop *op) {
    const char *text = op->request->readonly ? "SET default_transaction_read_only = on"
                                             : "RESET default_transaction_read_only";
    c->readonly = op->request->readonly;
    return weir__pg_send(c, op, text, WEIR__STEP_MODE) && weir__pg_send_sync(c, op);
}

static bool send_housekeeping(weir__pgconn *c, weir__pgop *op) {
    int64_t guard = missing_guard(c, op->request->timeout_ms);
    bool deallocate = may_deallocate(c);
    if (guard >= 0 && !weir__pg_send_guard(c, op, guard)) return false;
    if (deallocate && !send_deallocate(c, op)) return false;
    if ((guard >= 0 || deallocate) && !weir__pg_send_sync(c, op)) return false;
    if (is_of_other_mode(c, op) && !send_mode(c, op)) return false;
    if (!op->undo) return true;
    return weir__pg_send(c, op, "ROLLBACK", WEIR__STEP_UNDO) && weir__pg_send_sync(c, op);
}

/* ---- the statement */

bool weir__pg_unnamed(const weir__pgconn *c, const weir__request *request) {
    return c->statements.limit == 0 || request->statement->parameters > DESCRIBED_MAX;
}

static bool unnamed(const weir__pgconn *c, const weir__pgop *op) { return weir__pg_unnamed(c, op->request); }

static bool send_parse(weir__pgconn *c, weir__pgop *op) {
    const weir_statement *statement = op->request->statement;
    if (!op->sets) return true;
    if (unnamed(c, op)) {
        if (!statement->many) return true; /* Parse, Bind and Execute go together */
        if (!PQsendPrepare(c->pg, "", statement->sql, 0, NULL)) return false;
        weir__pg_push(c, op, WEIR__STEP_PARSE);
        return true;
    }
    if (!op->parses) return true;
    bool typed = op->shape->typed;
    if (!PQsendPrepare(c->pg, op->prepared->name, statement->sql, typed ? (int)op->shape->parameters : 0,
                       typed ? op->shape->types : NULL))
        return false;
    weir__pg_push(c, op, WEIR__STEP_PARSE);
    if (typed) return true;
    op->describing = true;
    if (!PQsendDescribePrepared(c->pg, op->prepared->name)) return false;
    weir__pg_push(c, op, WEIR__STEP_DESCRIBE);
    return weir__pg_send_sync(c, op);
}

/* Whether it may run a function that does anything. */
static bool calls(const weir__pgop *op) { return op->shape && !(op->shape->traits & WEIR__TRAIT_SIMPLE); }

/* In the trip that runs the statement, ahead of an unnamed one's Parse: if a transaction begins with it. */
static bool begin_reading(weir__pgconn *c, weir__pgop *op) {
    bool begins = op->request->readonly && op->sets && !op->reading && !c->grouped;
    op->reading = true;
    bool doubtful = c->calling || (op->behind && weir__pg_env(c)->undone);
    bool foreign = op->start_tx == WEIR__TX_OPEN; /* a BEGIN of the holder's, with READ WRITE perhaps */
    if (!begins || (c->readonly && !doubtful && !foreign)) return true;
    return weir__pg_send(c, op, "SET transaction_read_only = on", WEIR__STEP_READONLY);
}

/* Encodes the next set, unless that was done already. False: op->error tells. */
static bool encode(weir__pgconn *c, weir__pgop *op) {
    if (op->encoded) return true;
    const Oid *types = unnamed(c, op) ? NULL : op->shape->types;
    int code = weir__pg_encode(&c->args, op->request->statement, op->next_set, types, &op->error);
    op->encoded = code == WEIR_OK;
    if (op->believed && code == WEIR_EVALUE) op->doubtful = true;
    return op->encoded;
}

static bool send_set(weir__pgconn *c, weir__pgop *op) {
    const weir_statement *statement = op->request->statement;
    const char *const *values = c->args.values;
    int count = (int)statement->parameters, sent;
    if (unnamed(c, op) && !statement->many) {
        sent = PQsendQueryParams(c->pg, statement->sql, count, NULL, values, c->args.lengths, c->args.formats,
                                 0);
    } else {
        bool binary = !unnamed(c, op) && op->shape->binary;
        sent = PQsendQueryPrepared(c->pg, op->prepared ? op->prepared->name : "", count, values,
                                   c->args.lengths, c->args.formats, binary);
    }
    if (!sent) return false;
    weir__pg_push(c, op, WEIR__STEP_EXECUTE);
    op->next_set++;
    op->encoded = false;
    return true;
}

/* What the statement may do to the session, it may have done from now on. */
static void note_traits(weir__pgconn *c, const weir__pgop *op) {
    unsigned traits = op->shape ? op->shape->traits : 0;
    c->used = true;
    if (op->request->statement && !(traits & (WEIR__TRAIT_READS | WEIR__TRAIT_CHANGES))) c->form = NULL;
    if (op->shape && !(traits & WEIR__TRAIT_READS)) c->ahead_writes = true;
    if (traits & WEIR__TRAIT_DIRTY) c->dirty = true;
    if (traits & WEIR__TRAIT_LASTING) c->lasting = true;
    if (traits & WEIR__TRAIT_RETYPES) c->retyped = true;
    if (traits & WEIR__TRAIT_GUARD) c->guard_foreign = true;
}

/* ---- finding out what there is to send */

static bool find_statement(weir__pgconn *c, weir__pgop *op) {
    const weir_statement *statement = op->request->statement;
    op->prepared = weir__pg_statement_find(c, statement);
    if (op->prepared) {
        op->prepared->references++;
        op->shape = op->prepared->shape;
        op->shape->references++;
        return true;
    }
    op->shared = !c->retyped;
    op->shape = weir__shape_get(&weir__pg_env(c)->shapes, statement, op->shared,
                                c->base.env->config->options.reset_functions);
    if (!op->shape || unnamed(c, op)) return op->shape;
    op->prepared = weir__pg_statement_new(c, op->shape);
    op->parses = op->prepared;
    return op->prepared;
}

/* A statement's texts and values, as far as they can be judged before anything is sent. */
static int prepare(weir__pgconn *c, weir__pgop *op) {
    weir_statement *statement = op->request->statement;
    int code = weir__statement_check(statement, &op->error);
    if (code != WEIR_OK) return code;
    if (statement->sql_length > WEIR__PG_SQL_MAX)
        return weir__fail(&op->error, WEIR_EVALUE, "the statement's text is longer than the server takes");
    if (!op->result) op->result = weir__pg_result_new();
    if (!op->result) return weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
    op->sets = statement->sets;
    if (!op->sets) {
        op->result->affected = 0;
        return WEIR_OK;
    }
    if (!find_statement(c, op)) return weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
    if (op->shape->traits & WEIR__TRAIT_COPY)
        return weir__fail(
            &op->error, WEIR_ENOTSUP,
            "COPY FROM STDIN and COPY TO STDOUT are no statements of this kind: run them with copy_in "
            "or copy_out");
    op->believed = op->shape->typed;
    code = op->shape->typed ? weir__pg_refuse_count(op->shape, statement, &op->error) : WEIR_OK;
    if (code != WEIR_OK) return code;
    /* Before a BEGIN is sent: a value that does not fit then leaves no transaction behind. */
    if ((unnamed(c, op) || op->shape->typed) && !encode(c, op)) return op->error.code;
    return WEIR_OK;
}

static int judge(weir__pgconn *c, weir__pgop *op) {
    return op->request->mode ? weir__pg_simple_prepare(c, op) : prepare(c, op);
}

/* ---- trips */

/* What the session's transaction will be when the request has succeeded. */
static weir__tx tx_after(const weir__pgconn *c, const weir__request *request) {
    weir__tx tx = c->ahead_tx;
    for (unsigned i = 0; i < request->before_count; i++) {
        if (strncmp(request->before[i], "BEGIN", 5) == 0) tx = WEIR__TX_OPEN;
        if (strcmp(request->before[i], "ROLLBACK") == 0) tx = WEIR__TX_NONE;
    }
    const char *command = request->command;
    bool ends = command && (strcmp(command, "COMMIT") == 0 || strcmp(command, "ROLLBACK") == 0);
    return ends ? WEIR__TX_NONE : tx;
}

/* Whether it can be sent behind what is on its way: it need not know what comes of that. */
static bool may_follow(const weir__pgconn *c, const weir__pgop *op) {
    const weir__request *request = op->request;
    if (op->undo || request->mode || missing_guard(c, request->timeout_ms) >= 0) return false;
    if (!request->chain) return !request->before_count;
    /* Were its BEGIN to fail, it would be done outside of it: it goes in the same breath, or later. */
    bool beginning = c->base.tx == WEIR__TX_NONE && c->ahead_tx == WEIR__TX_OPEN;
    return c->grouped || (!beginning && !request->before_count);
}

static bool joins_group(const weir__pgop *op) {
    const weir__request *request = op->request;
    if (request->mode) return false;
    if (request->chain) return !request->statement || !request->statement->many;
    return request->readonly && !op->alone && !request->before_count && !request->command &&
           request->statement && !request->statement->many;
}

/* … of those that are on their way: a transaction's own requests are no group with those of others. */
static bool continues_group(const weir__pgconn *c, const weir__pgop *op) {
    if (!joins_group(op) || !c->grouped) return joins_group(op);
    return step_at(c, c->step_count - 1)->op->request->chain == op->request->chain;
}

/* A group is ended before anything that does not belong to it. False: the connection is unusable. */
static bool close_group(weir__pgconn *c) {
    if (!c->grouped) return true;
    weir__pgop *last = step_at(c, c->step_count - 1)->op;
    last->grouped = false;
    return weir__pg_send_sync(c, last);
}

void weir__pg_fail_chain(weir__pgop *op) {
    if (op->error.code == WEIR_OK) weir__fail_chain(&op->error);
}

/* What goes ahead of a script or COPY is a trip of its own. */
static int send_simple_head(weir__pgconn *c, weir__pgop *op) {
    if (!weir__pg_simple_check(c, op)) return -1;
    note_traits(c, op);
    if (!op->steps) return 1;
    op->describing = true;
    return weir__pg_send_sync(c, op) ? 1 : -1;
}

/* The request's first messages. 1: sent; 0: it has ended by itself; -1: the connection is unusable. */
static int send_head(weir__pgconn *c, weir__pgop *op) {
    const weir__request *request = op->request;
    if (!c->step_count) c->ahead_tx = c->base.tx;
    op->start_tx = c->ahead_tx;
    op->behind = c->step_count;
    bool idle = !request->before_count && !request->command && !request->mode;
    if (!weir__pg_reserve(c)) weir__fail(&op->error, WEIR_ENOMEM, "out of memory");
    if (request->chain && c->broken) weir__pg_fail_chain(op);
    if (op->error.code != WEIR_OK || (request->statement && judge(c, op) != WEIR_OK) ||
        (idle && !op->sets)) { /* an executemany of no sets */
        weir__pg_op_end(c, op);
        return 0;
    }
    op->begun = true;
    if (c->ahead_tx == WEIR__TX_NONE) c->ahead_writes = false;
    bool apart = !continues_group(c, op) || may_deallocate(c) || is_of_other_mode(c, op) ||
                 missing_guard(c, request->timeout_ms) >= 0 || (op->parses && !op->shape->typed);
    if (apart && !close_group(c)) return -1;
    if (!send_housekeeping(c, op)) return -1;
    op->end_tx = c->ahead_tx = tx_after(c, request);
    for (unsigned i = 0; i < request->before_count; i++)
        if (!weir__pg_send_before(c, op, request->before[i])) return -1;
    if (request->mode) return send_simple_head(c, op);
    bool describes = op->parses && !op->shape->typed;
    if ((!describes && !begin_reading(c, op)) || !send_parse(c, op)) return -1;
    note_traits(c, op);
    return 1;
}

/* The sets, until the socket takes no more. 1: all are sent; 0: later; -1: the connection is unusable. */
static int send_sets(weir__pgconn *c, weir__pgop *op) {
    size_t unsent = FLUSH_BYTES; /* look first */
    while (op->next_set < op->sets && op->error.code == WEIR_OK) {
        if (op->next_set && unsent >= FLUSH_BYTES) {
            int blocked = PQflush(c->pg);
            if (blocked) return blocked < 0 ? -1 : 0;
            unsent = 0;
        }
        if (op->cancelled) {
            weir__fail(&op->error, WEIR_ECANCELLED,
                       "the statement was cancelled while its parameters were sent");
        } else if (encode(c, op)) {
            unsent += c->args.total + 64 + 8 * op->request->statement->parameters;
            if (!send_set(c, op)) return -1;
        }
    }
    return 1;
}

/* Whether the transaction ends before there was an answer that the question for its number could follow. */
static bool wants_xid(weir__pgconn *c, const weir__pgop *op) {
    if (!op->commit_sent || !op->request->statement || c->xid_asked || !c->ahead_writes) return false;
    c->xid_asked = true;
    return c->base.env->config->options.commit_xid;
}

static bool send_tail(weir__pgconn *c, weir__pgop *op, bool failed_here) {
    const char *command = op->request->command;
    if (failed_here) {
        /* What was sent before is not to be kept: a message that fails makes the server undo it. */
        if (!PQsendQueryPrepared(c->pg, "weir_undo", 0, NULL, NULL, NULL, 0)) return false;
        weir__pg_push(c, op, WEIR__STEP_POISON);
    } else if (command && op->error.code == WEIR_OK) {
        op->commit_sent = strncmp(command, "COMMIT", 6) == 0;
        if (wants_xid(c, op) && !weir__pg_send_xid(c, op)) return false;
        if (!weir__pg_send_command(c, op, command)) return false;
    }
    op->tail_sent = true;
    if (joins_group(op) && !failed_here && (op->request->chain || c->grouped + 1 < WEIR__PG_GROUP)) {
        op->grouped = true;
        c->grouped++;
        return true;
    }
    return weir__pg_send_sync(c, op);
}

/* Sends of the request what there is to send. 1: all of it; 0: later; -1: the connection is unusable. */
static int send_rest(weir__pgconn *c, weir__pgop *op) {
    if (op->request->mode) return weir__pg_simple_start(c, op);
    bool failed_before = op->error.code != WEIR_OK;
    if (!failed_before && !begin_reading(c, op)) return -1;
    int all = send_sets(c, op);
    if (all <= 0) return all;
    bool failed_here = !failed_before && op->error.code != WEIR_OK;
    if (failed_here && !op->steps) {
        weir__pg_op_end(c, op); /* nothing of it is on its way */
        return 1;
    }
    weir__pgop *next = weir__pg_op_next(c, op);
    if (op->request->readonly && calls(op)) c->calling = true;
    if (!send_tail(c, op, failed_here)) return -1;
    c->next = next;
    return 1;
}

/* Sends the requests of the line, as far as possible. False: the connection is unusable. */
static bool send_line(weir__pgconn *c) {
    if (c->simple) return true;
    while (c->next && !c->cancelling) {
        weir__pgop *op = c->next;
        if (!op->begun) {
            if (c->step_count && !may_follow(c, op)) break;
            int sent = send_head(c, op);
            if (sent < 0) return false;
            if (!sent) continue;
        }
        if (op->describing) break;
        int sent = send_rest(c, op);
        if (sent < 0) return false;
        if (!sent) break;
        if (c->simple) return true;
    }
    if (c->cancelling && c->next && c->next->begun && !c->next->describing && !c->next->tail_sent)
        return send_rest(c, c->next) >= 0; /* an executemany ends here */
    return close_group(c);
}

void weir__pg_pump(weir__pgconn *c) {
    if (!send_line(c)) {
        weir__pg_send_failed(c);
        return;
    }
    if (c->state != WEIR__PG_READY) return;
    int blocked = PQflush(c->pg);
    if (blocked < 0) {
        weir__pg_send_failed(c);
        return;
    }
    if (!blocked) blocked = !weir__pg_simple_flush(c);
    if (c->state != WEIR__PG_READY) return;
    if (!weir__pg_watch(c, weir__pg_simple_holds(c) ? 0 : WEIR__READ | (blocked ? WEIR__WRITE : 0))) return;
    if (!blocked) weir__pg_simple_flushed(c);
}
