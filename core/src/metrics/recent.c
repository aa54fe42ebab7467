#include "metrics/recent.h"

static weir__recent_mark mark_of(const weir_snapshot *s, int64_t now) {
    uint64_t checkouts_failed = s->checkouts_timed_out + s->checkouts_refused;
    uint64_t queries_failed = s->queries_failed + s->queries_timed_out;
    return (weir__recent_mark){
        .at = now,
        .waits = s->wait.count,
        .waited = s->wait.sum,
        .runs = s->query.count,
        .ran = s->query.sum,
        .checkouts = s->checkouts_granted + checkouts_failed,
        .checkouts_failed = checkouts_failed,
        .queries = s->queries_succeeded + queries_failed,
        .queries_failed = queries_failed,
    };
}

static const weir__recent_mark *base_of(const weir__recent *recent, int64_t now) {
    static const weir__recent_mark beginning;
    const weir__recent_mark *base = &beginning;
    for (unsigned i = 0; i < recent->count; i++) { /* from the oldest on */
        unsigned at = (recent->next + WEIR__RECENT_MARKS - recent->count + i) % WEIR__RECENT_MARKS;
        const weir__recent_mark *mark = &recent->marks[at];
        if (i && now - mark->at < WEIR__RECENT_NS) break;
        base = mark;
    }
    return base;
}

static double share(double part, uint64_t whole) { return whole ? part / (double)whole : 0; }

/* Numbers of several pools fall when one of them is closed, each by itself: another may have risen. */
static bool has_fallen(const weir__recent_mark *to, const weir__recent_mark *from) {
    return to->waits < from->waits || to->waited < from->waited || to->runs < from->runs ||
           to->ran < from->ran || to->checkouts < from->checkouts ||
           to->checkouts_failed < from->checkouts_failed || to->queries < from->queries ||
           to->queries_failed < from->queries_failed;
}

void weir__recent_take(weir__recent *recent, const weir_snapshot *snapshot, int64_t now, weir__rates *out) {
    static const weir__recent_mark beginning;
    weir__recent_mark mark = mark_of(snapshot, now);
    const weir__recent_mark *base = base_of(recent, now);
    if (has_fallen(&mark, base)) {
        base = &beginning;
        recent->count = 0;
    }
    *out = (weir__rates){
        .checkout_time = share(mark.waited - base->waited, mark.waits - base->waits),
        .query_time = share(mark.ran - base->ran, mark.runs - base->runs),
        .checkout_failures =
            share((double)(mark.checkouts_failed - base->checkouts_failed), mark.checkouts - base->checkouts),
        .query_failures =
            share((double)(mark.queries_failed - base->queries_failed), mark.queries - base->queries),
    };
    unsigned last = (recent->next + WEIR__RECENT_MARKS - 1) % WEIR__RECENT_MARKS;
    if (recent->count && now - recent->marks[last].at < WEIR__RECENT_APART) return;
    recent->marks[recent->next] = mark;
    recent->next = (recent->next + 1) % WEIR__RECENT_MARKS;
    if (recent->count < WEIR__RECENT_MARKS) recent->count++;
}
