/* Whole results, and the core's tables, as Lua's. */
#include "weir_lua.h"

static int bad_cell(lua_State *L, weir_result *result, size_t column, int code) {
    lua_pushfstring(L, "column \"%s\": %s", weir_result_name(result, column), weir_error_text(code));
    weir_error error = WEIR_ERROR_INIT;
    error.code = code;
    error.message = lua_tostring(L, -1); /* stays on the stack */
    return weir__lua_push_failure(L, &error);
}

/* The cell on the stack: 0. When the database sent what its type does not allow, a failure there instead, of
   so many values. */
static int push_cell(lua_State *L, weir_result *result, size_t row, size_t column) {
    weir_value value;
    int code = weir_result_value(result, row, column, &value);
    if (code != WEIR_OK) return bad_cell(L, result, column, code);
    weir__lua_push_value(L, &value);
    return 0;
}

/* A row by position and by name; of columns of the same name the last one has it. `names`: index of the first
   name. Returns as push_cell. */
static int push_row(lua_State *L, weir_result *result, size_t row, int names) {
    int columns = (int)weir_result_columns(result);
    lua_createtable(L, columns, columns);
    int table = lua_gettop(L);
    for (int column = 0; column < columns; column++) {
        int failed = push_cell(L, result, row, (size_t)column);
        if (failed) return failed;
        lua_pushvalue(L, names + column);
        lua_pushvalue(L, -2);
        lua_rawset(L, table);
        lua_rawseti(L, table, column + 1);
    }
    return 0;
}

/* The names are made Lua strings once a result, and stay on the stack. */
static int push_names(lua_State *L, weir_result *result) {
    size_t columns = weir_result_columns(result);
    luaL_checkstack(L, (int)columns + LUA_MINSTACK, "too many columns");
    for (size_t column = 0; column < columns; column++) lua_pushstring(L, weir_result_name(result, column));
    return lua_gettop(L) - (int)columns + 1;
}

static void push_affected(lua_State *L, const weir_result *result) {
    int64_t affected = weir_result_affected(result);
    weir__lua_push_integer(L, affected < 0 ? 0 : affected);
}

/* rows.columns, rows.tag and rows.affected come from the metatable, so that pairs(rows) shows rows only. */
static void set_about(lua_State *L, weir_result *result, int names) {
    int columns = (int)weir_result_columns(result);
    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, 3);
    lua_createtable(L, columns, 0);
    for (int column = 0; column < columns; column++) {
        lua_pushvalue(L, names + column);
        lua_rawseti(L, -2, column + 1);
    }
    lua_setfield(L, -2, "columns");
    lua_pushstring(L, weir_result_tag(result));
    lua_setfield(L, -2, "tag");
    push_affected(L, result);
    lua_setfield(L, -2, "affected");
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

static int push_rows(lua_State *L, weir_result *result) {
    size_t rows = weir_result_rows(result);
    int names = push_names(L, result);
    lua_createtable(L, (int)rows, 0);
    int table = lua_gettop(L);
    for (size_t row = 0; row < rows; row++) {
        int failed = push_row(L, result, row, names);
        if (failed) return failed;
        lua_rawseti(L, table, (int)row + 1);
    }
    set_about(L, result, names);
    return 1;
}

/* From 1, or from -1 backwards; 0: the first. */
static size_t place_of(lua_State *L, const weir_result *result, int column) {
    int columns = (int)weir_result_columns(result);
    int place = column < 0 ? columns + column : column ? column - 1 : 0;
    if (place < 0 || place >= columns) weir__lua_misuse(L, "column = %d: the result has %d", column, columns);
    return (size_t)place;
}

int weir__lua_push_result(lua_State *L, weir_result *result, enum weir_lua_shape shape, int column) {
    bool empty = !weir_result_rows(result) || !weir_result_columns(result);
    int failed = 0;
    switch (shape) {
    case WEIR_LUA_EXECUTE:
    case WEIR_LUA_EXECUTEMANY:
        push_affected(L, result);
        return 1;
    case WEIR_LUA_EITHER:
        if (weir_result_columns(result)) return push_rows(L, result);
        push_affected(L, result);
        return 1;
    case WEIR_LUA_FETCH:
        return push_rows(L, result);
    case WEIR_LUA_FETCHROW:
        if (empty) break;
        failed = push_row(L, result, 0, push_names(L, result));
        return failed ? failed : 1;
    case WEIR_LUA_FETCHVAL:
        if (empty) break;
        failed = push_cell(L, result, 0, place_of(L, result, column));
        return failed ? failed : 1;
    case WEIR_LUA_SCRIPT:
        lua_pushstring(L, weir_result_tag(result));
        return 1;
    }
    lua_pushnil(L);
    return 1;
}

void weir__lua_set_integer(lua_State *L, const char *name, int64_t value) {
    weir__lua_push_integer(L, value);
    lua_setfield(L, -2, name);
}

void weir__lua_set_number(lua_State *L, const char *name, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool value) {
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

void weir__lua_set_text(lua_State *L, const char *name, const char *value) {
    lua_pushstring(L, value); /* NULL: nil, so no field */
    lua_setfield(L, -2, name);
}

void weir__lua_set_figures(lua_State *L, uint64_t count, double sum, double p50, double p90, double p99,
                           double p999) {
    weir__lua_set_integer(L, "count", (int64_t)count);
    weir__lua_set_number(L, "sum", sum);
    weir__lua_set_number(L, "p50", p50);
    weir__lua_set_number(L, "p90", p90);
    weir__lua_set_number(L, "p99", p99);
    weir__lua_set_number(L, "p999", p999);
}

static void set_latency(lua_State *L, const char *name, const weir_histogram *latency) {
    lua_createtable(L, 0, 8);
    weir__lua_set_figures(L, latency->count, latency->sum, latency->p50, latency->p90, latency->p99,
                          latency->p999);
    weir__lua_set_number(L, "max", latency->max);
    lua_createtable(L, WEIR_HISTOGRAM_BUCKETS, 0);
    for (int n = 0; n < WEIR_HISTOGRAM_BUCKETS; n++) {
        weir__lua_push_integer(L, (int64_t)latency->buckets[n]);
        lua_rawseti(L, -2, n + 1);
    }
    lua_setfield(L, -2, "buckets");
    lua_setfield(L, -2, name);
}

static void fill(lua_State *L, const void *snapshot, bool (*table)(size_t, weir_metric_info *)) {
    weir_metric_info info;
    for (size_t row = 0; table(row, &info); row++) {
        const void *field = (const char *)snapshot + info.offset;
        if (info.kind == WEIR_METRIC_LATENCY)
            set_latency(L, info.name, field);
        else if (info.kind == WEIR_METRIC_RATIO)
            weir__lua_set_number(L, info.name, *(const double *)field);
        else if (info.kind != WEIR_METRIC_TIME)
            weir__lua_set_integer(L, info.name,
                                  *(const int64_t *)field); /* a counter's sign is never reached */
        else if (*(const int64_t *)field >= 0)
            weir__lua_set_number(L, info.name, (double)*(const int64_t *)field / 1000);
    }
}

void weir__lua_push_snapshot(lua_State *L, const weir_snapshot *snapshot) {
    lua_createtable(L, 0, 40);
    fill(L, snapshot, weir_metric_table);
}

void weir__lua_push_breaker_snapshot(lua_State *L, const weir_breaker_snapshot *snapshot) {
    lua_createtable(L, 0, 30);
    weir__lua_set_text(L, "state", weir_breaker_state_name(snapshot->state));
    weir__lua_set_text(L, "last_failure", *snapshot->last_failure ? snapshot->last_failure : NULL);
    fill(L, snapshot, weir_breaker_metric_table);
}

void weir__lua_push_holder(lua_State *L, const weir_holder *holder) {
    lua_createtable(L, 0, 10);
    weir__lua_set_text(L, "file", holder->file);
    weir__lua_set_text(L, "caller", holder->function); /* `function` is Lua's own */
    weir__lua_set_integer(L, "line", holder->line);
    weir__lua_set_number(L, "age", (double)holder->age_ms / 1000);
    weir__lua_set_text(L, "statement", holder->statement);
    weir__lua_set_text(L, "stack", *holder->stack ? holder->stack : NULL);
    weir__lua_set_integer(L, "depth", holder->depth);
    set_flag(L, "busy", holder->busy);
    set_flag(L, "leaked", holder->leaked);
    weir__lua_set_integer(L, "backend", holder->backend);
}

static void push_reasons(lua_State *L, unsigned bits) {
    lua_newtable(L);
    for (unsigned i = 0; bits >> i; i++) {
        weir_health_reason reason = (weir_health_reason)i;
        if (bits >> i & 1)
            weir__lua_set_text(L, weir_health_reason_name(reason), weir_health_reason_text(reason));
    }
    lua_setfield(L, -2, "reasons");
}

static void set_seconds(lua_State *L, const char *name, int64_t value, double unit) {
    if (value >= 0) weir__lua_set_number(L, name, (double)value / unit);
}

void weir__lua_push_health(lua_State *L, const weir_health *health) {
    lua_createtable(L, 0, 10);
    weir__lua_set_text(L, "status", weir_health_status_name(health->status));
    push_reasons(L, health->reasons);
    set_seconds(L, "status_age", health->status_age_ms, 1e3);
    set_seconds(L, "last_check_age", health->last_check_ms, 1e3);
    set_seconds(L, "latency", health->latency_ns, 1e9);
    weir__lua_set_integer(L, "passed", (int64_t)health->passed);
    weir__lua_set_integer(L, "failed", (int64_t)health->failed);
    weir__lua_set_integer(L, "failures_in_a_row", health->failures_in_a_row);
    weir__lua_set_text(L, "last_failure", *health->last_failure ? health->last_failure : NULL);
    weir__lua_set_text(L, "connect_failure", *health->connect_failure ? health->connect_failure : NULL);
}

void weir__lua_push_health_event(lua_State *L, const weir_health_event *event) {
    lua_createtable(L, 0, 8);
    weir__lua_set_integer(L, "number", (int64_t)event->number);
    set_seconds(L, "age", weir_now_ns() - event->at_ns, 1e9);
    weir__lua_set_text(L, "kind", weir_health_event_name(event->kind));
    weir__lua_set_text(L, "before", weir_health_status_name(event->before));
    weir__lua_set_text(L, "status", weir_health_status_name(event->status));
    push_reasons(L, event->reasons);
    set_seconds(L, "duration", event->duration_ns, 1e9);
    weir__lua_set_text(L, "text", *event->text ? event->text : NULL);
}

void weir__lua_push_metric_info(lua_State *L, const weir_metric_info *info) {
    static const char *const kinds[] = {"gauge", "counter", "latency", "ratio", "time"};
    lua_createtable(L, 0, 3);
    weir__lua_set_text(L, "name", info->name);
    weir__lua_set_text(L, "kind", kinds[info->kind]);
    weir__lua_set_text(L, "text", info->text);
}

void weir__lua_push_error_info(lua_State *L, const weir_error_info *info) {
    lua_createtable(L, 0, 5);
    weir__lua_set_integer(L, "code", info->code);
    weir__lua_set_text(L, "sqlstate", info->sqlstate);
    weir__lua_set_text(L, "name", info->name);
    weir__lua_set_text(L, "parent", info->parent);
    weir__lua_set_text(L, "also", info->also);
}

void weir__lua_push_option_info(lua_State *L, const weir_option_info *info) {
    static const char *const kinds[] = {"count", "time", "flag", "text", "ratio"};
    lua_createtable(L, 0, 8);
    weir__lua_set_text(L, "name", info->name);
    weir__lua_set_text(L, "kind", kinds[info->kind]);
    set_flag(L, "nullable", info->nullable);
    if (info->initial.type != WEIR_TYPE_NULL) {
        weir__lua_push_value(L, &info->initial);
        lua_setfield(L, -2, "default");
    }
    if (info->kind != WEIR_OPTION_FLAG && info->kind != WEIR_OPTION_TEXT) {
        weir__lua_set_number(L, "least", info->least);
        weir__lua_set_number(L, "most", info->most);
    }
    weir__lua_set_text(L, "choices", info->choices);
    weir__lua_set_text(L, "text", info->text);
}

void weir__lua_push_session_info(lua_State *L, const weir_session_info *info) {
    lua_createtable(L, 0, 6);
    weir__lua_set_integer(L, "depth", info->depth);
    set_flag(L, "in_transaction", info->in_transaction);
    set_flag(L, "failed", info->failed);
    set_flag(L, "busy", info->busy);
    weir__lua_set_integer(L, "backend", info->backend);
    weir__lua_set_number(L, "age", (double)info->age_ms / 1000);
}
