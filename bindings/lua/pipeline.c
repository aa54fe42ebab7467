/* session:pipeline: a statement that has been submitted, and is waited for later. */
#include <string.h>

#include "weir_lua.h"

#define ANSWER "answer"
enum { HANDLE = WEIR_LUA_HANDLE, FIRST = WEIR_LUA_FIRST };

typedef struct answer {
    weir_lua_pool *home; /* kept in memory by the userdata's user value, the session */
    weir_op op;          /* 0: it has been answered, or cut off */
    weir_completion done;
    weir_error error; /* instead of one in `done`, when it was not even submitted */
    enum weir_lua_shape shape;
    int column;
    bool taken;
} answer;

static answer *to_answer(lua_State *L, int index) {
    answer *answer = weir__lua_test(L, index, ANSWER);
    if (!answer) weir__lua_misuse(L, "an answer is wanted here, as in answer:get()");
    return answer;
}

static void cut(answer *answer) {
    if (answer->op && answer->home->pool) weir_reactor_cancel(answer->home->reactor, answer->op);
    if (answer->op) answer->done.code = WEIR_ECANCELLED;
    answer->op = 0;
}

static int answer_gc(lua_State *L) {
    answer *answer = lua_touserdata(L, 1);
    cut(answer);
    if (!answer->home || !answer->home->pool) answer->done.failure.pool = NULL; /* it went with its pool */
    weir_completion_discard(&answer->done);
    weir_error_clear(&answer->error);
    return 0;
}

int weir__lua_answer_cut(lua_State *L) {
    cut(to_answer(L, 1));
    return 0;
}

static answer *push_answer(lua_State *L) {
    answer *answer = lua_newuserdata(L, sizeof *answer);
    memset(answer, 0, sizeof *answer);
    weir_error none = WEIR_ERROR_INIT;
    answer->error = none;
    weir__lua_set_metatable(L, ANSWER, answer_gc);
    weir__lua_keep(L, HANDLE);
    return answer;
}

static void take_over(weir_error *to, weir_error *from) {
    weir_error none = WEIR_ERROR_INIT;
    *to = *from;
    *from = none;
}

static int new_body(lua_State *L) {
    weir_lua_session *session = weir__lua_begin_session(L);
    weir_lua_call *call = weir__lua_call(L);
    enum weir_lua_shape shape = (enum weir_lua_shape)lua_tointeger(L, FIRST);
    bool one = shape == WEIR_LUA_FETCHVAL;
    if (!weir__lua_build(L, call, FIRST + 1, shape, one ? WEIR_LUA_COLUMN : 0))
        return weir__lua_call_fail(L, call);
    answer *answer = push_answer(L);
    answer->home = session->home;
    answer->shape = shape;
    answer->column = call->how.column;
    weir_run run = weir__lua_run(call, shape);
    run.hold = true; /* until an answer is waited for */
    int code = weir_session_execute(session->session, call->statement, &run, NULL, &answer->op, &call->error);
    if (code == WEIR_EINVAL) return weir__lua_call_fail(L, call);
    if (code != WEIR_PENDING) {
        answer->op = 0;
        answer->done.code = code;
        take_over(&answer->error, &call->error);
        if (!answer->error.code) answer->error.code = code;
    }
    return 1;
}

int weir__lua_answer_new(lua_State *L) { return weir__lua_guard(L, new_body); }

/* Its code, once it is there. */
static int await(lua_State *L, weir_lua_call *call, answer *answer) {
    if (!answer->op) return answer->done.code;
    call->op = answer->op; /* when the wait is broken off by an error, it is cancelled */
    answer->op = 0;
    answer->done.code = WEIR_ECANCELLED;
    int code = weir__lua_wait(L, call);
    answer->done = call->done;
    answer->done.code = code;
    memset(&call->done, 0, sizeof call->done);
    take_over(&answer->error, &call->error);
    return code;
}

/* The answer's failure, which stays its own. */
static const weir_error *failure_of(answer *answer) {
    if (answer->done.error) return answer->done.error;
    if (!answer->error.code) answer->error.code = answer->done.code;
    return &answer->error;
}

static int wait_body(lua_State *L) {
    weir_lua_call *call = weir__lua_begin(L);
    answer *answer = to_answer(L, FIRST);
    int values = 1, code = await(L, call, answer);
    if (code == WEIR_OK || answer->taken)
        lua_pushboolean(L, true);
    else {
        int place = lua_gettop(L) + 2;
        values = weir__lua_push_failure(L, failure_of(answer));
        weir__lua_judge(L, call, &answer->done, place);
    }
    weir__lua_settle(L, call);
    return values;
}

int weir__lua_answer_wait(lua_State *L) { return weir__lua_guard(L, wait_body); }

static int take_body(lua_State *L) {
    weir_lua_call *call = weir__lua_begin(L);
    answer *answer = to_answer(L, FIRST);
    if (answer->taken) weir__lua_misuse(L, "this answer has been got already: keep what it gave");
    int code = await(L, call, answer);
    answer->taken = true;
    call->done = answer->done;
    memset(&answer->done, 0, sizeof answer->done);
    take_over(&call->error, &answer->error);
    call->how.column = answer->column;
    return weir__lua_rows(L, call, code, answer->shape);
}

int weir__lua_answer_take(lua_State *L) { return weir__lua_guard(L, take_body); }
