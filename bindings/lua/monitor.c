/* What a pool watches of itself: its alerts, its slow statements, its history. */
#include "weir_lua.h"

enum { FIRST = WEIR_LUA_FIRST };

static void set_age(lua_State *L, const char *name, int64_t at_ns) {
    weir__lua_set_number(L, name, (double)(weir_now_ns() - at_ns) / 1e9);
}

void weir__lua_push_alert(lua_State *L, const weir_alert *alert) {
    bool resolved = alert->resolved_ns != 0;
    lua_createtable(L, 0, 12);
    weir__lua_set_integer(L, "number", (int64_t)alert->number);
    weir__lua_set_text(L, "type", weir_alert_name(alert->type));
    weir__lua_set_text(L, "severity", weir_severity_name(alert->severity));
    weir__lua_set_text(L, "message", alert->message);
    set_age(L, "age", alert->fired_ns);
    if (resolved) set_age(L, "resolved_age", alert->resolved_ns);
    lua_pushboolean(L, resolved);
    lua_setfield(L, -2, "resolved");
    weir__lua_set_number(L, "value", alert->value);
    weir__lua_set_number(L, "threshold", alert->threshold);
    weir__lua_set_integer(L, "count", (int64_t)alert->count);
    weir__lua_set_integer(L, "total", (int64_t)alert->total);
    weir__lua_set_number(L, "window", alert->window);
}

static void push_slow(lua_State *L, const weir_slow_statement *slow) {
    lua_createtable(L, 0, 6);
    weir__lua_set_text(L, "statement", slow->text);
    weir__lua_set_integer(L, "count", (int64_t)slow->count);
    weir__lua_set_number(L, "total", slow->total);
    weir__lua_set_number(L, "max", slow->max);
    weir__lua_set_number(L, "last", slow->last);
    set_age(L, "age", slow->last_ns);
}

static void push_point(lua_State *L, const weir_history_point *point, weir_metric_kind kind) {
    lua_createtable(L, 0, kind == WEIR_METRIC_LATENCY ? 7 : 2);
    set_age(L, "age", point->at_ns);
    if (kind != WEIR_METRIC_LATENCY) {
        weir__lua_set_number(L, "value", point->value);
        return;
    }
    weir__lua_set_figures(L, point->count, point->sum, point->p50, point->p90, point->p99, point->p999);
}

static int alerts_body(lua_State *L) {
    weir_lua_call *call = weir__lua_begin(L);
    size_t count;
    int code =
        weir_pool_alerts(call->home->pool, lua_toboolean(L, FIRST), &call->alerts, &count, &call->error);
    if (code != WEIR_OK) return weir__lua_done(L, call, code);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        weir__lua_push_alert(L, &call->alerts[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    weir__lua_settle(L, call);
    return 1;
}

int weir__lua_pool_alerts(lua_State *L) { return weir__lua_guard(L, alerts_body); }

static int slow_body(lua_State *L) {
    weir_lua_call *call = weir__lua_begin(L);
    size_t count;
    int code = weir_pool_slow_statements(call->home->pool, &call->slow, &count, &call->error);
    if (code != WEIR_OK) return weir__lua_done(L, call, code);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        push_slow(L, &call->slow[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    weir__lua_settle(L, call);
    return 1;
}

int weir__lua_pool_slow_queries(lua_State *L) { return weir__lua_guard(L, slow_body); }

/* Seconds, 0 or more; nil: `ms`. Raises an error for anything else. */
static int64_t to_ms(lua_State *L, int index, const char *name, int64_t ms) {
    if (lua_isnoneornil(L, index)) return ms;
    double value = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
    if (!(value >= 0 && value < 1e9)) weir__lua_misuse(L, "%s must be seconds, 0 or more", name);
    return (int64_t)(value * 1000 + 0.5);
}

static int history_body(lua_State *L) {
    weir_lua_call *call = weir__lua_begin(L);
    size_t count;
    weir_metric_kind kind;
    if (lua_type(L, FIRST) != LUA_TSTRING) weir__lua_misuse(L, "the name of a metric is wanted");
    int64_t since = to_ms(L, FIRST + 1, "since", -1), step = to_ms(L, FIRST + 2, "step", 0);
    int code = weir_pool_history(call->home->pool, lua_tostring(L, FIRST), since, step, &kind, &call->points,
                                 &count, &call->error);
    if (code != WEIR_OK) return weir__lua_done(L, call, code);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        push_point(L, &call->points[i], kind);
        lua_rawseti(L, -2, (int)i + 1);
    }
    weir__lua_settle(L, call);
    return 1;
}

int weir__lua_pool_history(lua_State *L) { return weir__lua_guard(L, history_body); }
