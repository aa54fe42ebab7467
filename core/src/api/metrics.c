/* Rendering metrics: which pools, and their numbers. */
#include "api/api.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "metrics/render.h"

/*
 * Guards the list of all open pools, and what each keeps for its rendering. Taken outside a reactor's lock,
 * never inside: a pool that is being rendered cannot be freed meanwhile.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static weir__link all = {&all, &all};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void hold(void) { pthread_mutex_lock(&lock); }
static void let_go(void) { pthread_mutex_unlock(&lock); }
/* A child of fork must not find it taken by a thread that it does not have. Without memory for that it might,
 * if the fork is made in the very moment of a rendering. */
static void watch_forks(void) { pthread_atfork(hold, let_go, let_go); }

void weir__metrics_register(weir_pool *pool) {
    pthread_once(&once, watch_forks);
    hold();
    weir__list_push_back(&all, &pool->exposed.link);
    let_go();
}

void weir__metrics_forget(weir_pool *pool) {
    hold();
    weir__list_remove(&pool->exposed.link);
    let_go();
}

/* ---- the numbers, with the lock held */

/* A name that no pool of this process has: in the file it is another one's as soon as that is let go. */
typedef struct other {
    struct other *next;
    char name[WEIR__SHARED_NAME], system[WEIR__SHARED_SYSTEM];
} other;

typedef struct gathering {
    weir__figures *figures;
    weir_pool **leads; /* a pool of each name; NULL: other processes have it */
    other *others;
    size_t count, room;
    weir_pool **sharers; /* a pool of each name and file: pools of one name may be in different ones */
    size_t sharer_count, sharer_room;
    int code; /* WEIR_ENOMEM: something was left out */
} gathering;

/* Room for one more. */
static bool extend(gathering *to) {
    if (to->count < to->room) return true;
    size_t room = to->room ? 2 * to->room : 8;
    weir__figures *figures = weir__realloc(to->figures, room * sizeof *figures);
    if (figures) to->figures = figures;
    weir_pool **leads = figures ? weir__realloc(to->leads, room * sizeof *leads) : NULL;
    if (leads)
        to->leads = leads;
    else
        to->code = WEIR_ENOMEM;
    to->room = leads ? room : to->room;
    return leads;
}

static bool add_sharer(gathering *to, weir_pool *pool) {
    if (to->sharer_count == to->sharer_room) {
        size_t room = to->sharer_room ? 2 * to->sharer_room : 8;
        weir_pool **sharers = weir__realloc(to->sharers, room * sizeof *sharers);
        if (!sharers) return false;
        to->sharers = sharers;
        to->sharer_room = room;
    }
    to->sharers[to->sharer_count++] = pool;
    return true;
}

/* Whether one of the first so many has that file, and that name; NULL: any. */
static bool has_sharer(const gathering *of, size_t count, const char *name, const weir__shared *file) {
    for (size_t n = 0; n < count; n++)
        if (weir__shared_same(of->sharers[n]->shared, file) &&
            (!name || strcmp(weir_pool_name(of->sharers[n]), name) == 0))
            return true;
    return false;
}

/* Where the name is; the count: nowhere. */
static size_t find(const gathering *in, const char *name) {
    size_t n = 0;
    while (n < in->count && strcmp(in->figures[n].name, name) != 0) n++;
    return n;
}

static bool read_pool(weir_pool *pool, bool open, weir__figures *out) {
    if (!weir__enter(pool->reactor)) return false;
    if (open && pool->closing && weir__pool_gone(pool)) {
        weir__leave(pool->reactor);
        return false;
    }
    *out = (weir__figures){.name = weir_pool_name(pool), .system = weir_pool_database_system(pool)};
    weir__pool_snapshot(pool, &out->now);
    weir__figures_take(out, pool->stats);
    memcpy(out->exemplars, pool->exposed.exemplars, sizeof out->exemplars);
    weir__leave(pool->reactor);
    return true;
}

static void read_sum(const weir__shared_sum *sum, weir__figures *out) {
    *out = (weir__figures){.name = sum->name, .system = sum->system, .now = sum->gauges};
    weir__cells_read(&sum->cells, &out->now);
    weir__figures_take(out, &sum->cells);
}

static void add_sum(void *figures, const weir__shared_sum *sum) {
    weir__figures more;
    read_sum(sum, &more);
    weir__figures_add(figures, &more);
}

static int locked(weir_error *error) {
    return weir__fail(
        error, WEIR_ELOCKTIMEOUT,
        "metrics_shared: the file stays locked by another process: is one of its users stopped?");
}

/* open: only if it has not been closed. WEIR_EFORKED: it has, or was inherited. */
static int gather(gathering *to, weir_pool *pool, bool open, weir_error *error) {
    if (!extend(to)) return WEIR_ENOMEM;
    weir__figures *next = &to->figures[to->count];
    if (!read_pool(pool, open, next)) return WEIR_EFORKED;
    size_t n = find(to, next->name);
    /* Then it is counted among the other places of its file, which have no exemplars. */
    if (has_sharer(to, to->sharer_count, next->name, pool->shared)) {
        for (int failed = 0; failed < 2; failed++)
            weir__exemplars_add(&to->figures[n].exemplars[failed], &next->exemplars[failed]);
        return WEIR_OK;
    }
    if (pool->shared && !add_sharer(to, pool)) return WEIR_ENOMEM;
    if (pool->shared && !weir__shared_visit(pool->shared, next->name, add_sum, next)) return locked(error);
    if (n < to->count)
        weir__figures_add(&to->figures[n], next);
    else
        to->leads[to->count++] = pool;
    return WEIR_OK;
}

typedef struct visit {
    gathering *to;
    weir__shared *file;
} visit;

/* What other processes have: all names but those that a pool of that file has here. */
static void add_other(void *arg, const weir__shared_sum *sum) {
    gathering *to = ((visit *)arg)->to;
    size_t n = find(to, sum->name);
    if (has_sharer(to, to->sharer_count, sum->name, ((visit *)arg)->file)) return;
    if (n < to->count) {
        add_sum(&to->figures[n], sum);
        return;
    }
    other *own = extend(to) ? weir__malloc(sizeof *own) : NULL;
    if (!own) {
        to->code = WEIR_ENOMEM;
        return;
    }
    strcpy(own->name, sum->name);
    strcpy(own->system, sum->system);
    own->next = to->others;
    to->others = own;
    read_sum(sum, &to->figures[n]);
    to->figures[n].name = own->name;
    to->figures[n].system = own->system;
    to->leads[to->count++] = NULL;
}

static void free_gathering(gathering *of) {
    for (other *next; of->others; of->others = next) {
        next = of->others->next;
        weir__free(of->others);
    }
    weir__free(of->sharers);
    weir__free(of->leads);
    weir__free(of->figures);
}

static int gather_others(gathering *to, weir_error *error) {
    for (size_t n = 0; n < to->sharer_count; n++) {
        visit visit = {to, to->sharers[n]->shared};
        bool seen = has_sharer(to, n, NULL, visit.file);
        if (!seen && !weir__shared_visit(visit.file, NULL, add_other, &visit)) return locked(error);
    }
    return WEIR_OK;
}

static int gather_all(gathering *to, weir_error *error) {
    for (weir__link *link = all.next; link != &all; link = link->next) {
        int code = gather(to, weir__container(link, weir_pool, exposed.link), true, error);
        if (code && code != WEIR_EFORKED) return code;
    }
    return gather_others(to, error);
}

static bool is_among(weir_pool *const *pools, size_t count, const weir_pool *pool) {
    size_t n = 0;
    while (n < count && pools[n] != pool) n++;
    return n < count;
}

static int gather_these(gathering *to, weir_pool *const *pools, size_t count, weir_error *error) {
    for (size_t n = 0; n < count; n++) {
        if (!pools[n]) return weir__fail(error, WEIR_EINVAL, "pools[%zu] is NULL", n);
        if (is_among(pools, n, pools[n])) continue;
        int code = gather(to, pools[n], false, error);
        if (code) return code == WEIR_EFORKED ? weir__forked(error) : code;
    }
    return WEIR_OK;
}

/* A name that only others have has no past here: its means are over all its life. */
static void take_recent(gathering *of, bool some) {
    for (size_t n = 0; n < of->count; n++) {
        weir__figures *figures = &of->figures[n];
        weir__recent none = {0}, *recent = of->leads[n] ? &of->leads[n]->exposed.recent[some] : &none;
        int64_t now = of->leads[n] ? weir__reactor_now(of->leads[n]->reactor) : 0;
        weir__recent_take(recent, &figures->now, now, &figures->recent);
    }
}

/* ---- the entry points */

/* Which of the choices the text is, from 0; -1: none of them. NULL: the initial one. */
static int choose(const char *text, const char *const *choices, int initial) {
    if (!text) return initial;
    for (int n = 0; choices[n]; n++)
        if (strcmp(text, choices[n]) == 0) return n;
    return -1;
}

static int wrong(const char *what, const char *value, const char *choices, weir_error *error) {
    char quoted[WEIR__QUOTE_SIZE];
    return weir__fail(error, WEIR_EINVAL, "%s=%s: give %s", what, weir__quote(quoted, value), choices);
}

int weir_metrics_render(weir_pool *const *pools, size_t count, const char *format, const char *names,
                        char **text, size_t *length, weir_error *error) {
    static const char *const formats[] = {"prometheus", "openmetrics", NULL};
    static const char *const sets[] = {"seed", "standard", "both", NULL};
    if (!text || !length) return weir__fail(error, WEIR_EINVAL, "text and length are needed");
    int openmetrics = choose(format, formats, 0), set = choose(names, sets, 2);
    if (openmetrics < 0) return wrong("format", format, "prometheus or openmetrics", error);
    if (set < 0) return wrong("names", names, "seed, standard or both", error);
    gathering gathered = {0};
    weir__buffer out = WEIR__BUFFER_INIT;
    hold();
    int code = pools ? gather_these(&gathered, pools, count, error) : gather_all(&gathered, error);
    if (!code) code = gathered.code;
    if (!code) {
        take_recent(&gathered, pools != NULL);
        weir__metrics_render(&out, gathered.figures, gathered.count, openmetrics,
                             (weir__names)(WEIR__NAMES_SEED + set));
    }
    let_go();
    *length = out.length;
    *text = code ? NULL : weir__buffer_steal(&out);
    if (code == WEIR_ENOMEM || (!code && !*text))
        code = weir__fail(error, WEIR_ENOMEM, "out of memory for the text of the metrics");
    weir__buffer_free(&out);
    free_gathering(&gathered);
    return code;
}

void weir_metrics_free(char *text) { weir__free(text); }
