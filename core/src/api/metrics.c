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

typedef struct gathering {
    weir__figures *figures;
    weir_pool **leads; /* the first pool of each name */
    size_t count;
} gathering;

static bool read_pool(weir_pool *pool, bool open, weir__figures *out) {
    if (!weir__enter(pool->reactor)) return false;
    if (open && pool->closing && weir__pool_gone(pool)) {
        weir__leave(pool->reactor);
        return false;
    }
    *out = (weir__figures){.name = weir_pool_name(pool), .system = weir_pool_database_system(pool)};
    weir__pool_snapshot(pool, &out->now);
    memcpy(out->exemplars, pool->exposed.exemplars, sizeof out->exemplars);
    weir__leave(pool->reactor);
    return true;
}

/* open: only if it has not been closed. False: it is not, or has been inherited by a fork. */
static bool gather(gathering *to, weir_pool *pool, bool open) {
    weir__figures *next = &to->figures[to->count];
    if (!read_pool(pool, open, next)) return false;
    for (size_t n = 0; n < to->count; n++) {
        if (strcmp(to->figures[n].name, next->name) != 0) continue;
        weir__figures_add(&to->figures[n], next);
        return true;
    }
    to->leads[to->count++] = pool;
    return true;
}

static void take_recent(gathering *of) {
    for (size_t n = 0; n < of->count; n++) {
        weir__figures *figures = &of->figures[n];
        int64_t now = weir__reactor_now(of->leads[n]->reactor);
        weir__recent_take(&of->leads[n]->exposed.recent, &figures->now, now, &figures->recent);
    }
}

static bool make_room(gathering *of, size_t count) {
    of->figures = weir__calloc(count + 1, sizeof *of->figures);
    of->leads = weir__calloc(count + 1, sizeof *of->leads);
    return of->figures && of->leads;
}

static bool gather_all(gathering *to) {
    size_t count = 0;
    for (weir__link *link = all.next; link != &all; link = link->next) count++;
    if (!make_room(to, count)) return false;
    for (weir__link *link = all.next; link != &all; link = link->next)
        gather(to, weir__container(link, weir_pool, exposed.link), true);
    return true;
}

static int gather_these(gathering *to, weir_pool *const *pools, size_t count, weir_error *error) {
    if (!make_room(to, count)) return WEIR_ENOMEM;
    for (size_t n = 0; n < count; n++) {
        if (!pools[n]) return weir__fail(error, WEIR_EINVAL, "pools[%zu] is NULL", n);
        if (!gather(to, pools[n], false)) return weir__forked(error);
    }
    return WEIR_OK;
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
    int code = pools                   ? gather_these(&gathered, pools, count, error)
               : gather_all(&gathered) ? WEIR_OK
                                       : WEIR_ENOMEM;
    if (!code) {
        take_recent(&gathered);
        weir__metrics_render(&out, gathered.figures, gathered.count, openmetrics,
                             (weir__names)(WEIR__NAMES_SEED + set));
    }
    let_go();
    *length = out.length;
    *text = code ? NULL : weir__buffer_steal(&out);
    if (code == WEIR_ENOMEM || (!code && !*text))
        code = weir__fail(error, WEIR_ENOMEM, "out of memory for the text of the metrics");
    weir__buffer_free(&out);
    weir__free(gathered.leads);
    weir__free(gathered.figures);
    return code;
}

void weir_metrics_free(char *text) { weir__free(text); }
