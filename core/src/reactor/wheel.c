/* The timer wheel. A timer stands on the level of the highest group of six bits in which its tick differs
   from the wheel's own, so that all used slots of a level lie ahead of the wheel, in order. */
#include "reactor/wheel.h"

enum { TICK_SHIFT = 20, LEVEL_SHIFT = 6, SLOT_MASK = WEIR__WHEEL_SLOTS - 1 };

void weir__wheel_init(weir__wheel *wheel, int64_t now) {
    wheel->tick = now >> TICK_SHIFT;
    for (int level = 0; level < WEIR__WHEEL_LEVELS; level++) {
        wheel->used[level] = 0;
        for (int slot = 0; slot < WEIR__WHEEL_SLOTS; slot++) weir__list_init(&wheel->slots[level][slot]);
    }
}

void weir__timer_init(weir__timer *timer, void (*fire)(weir__timer *timer)) {
    weir__list_init(&timer->link);
    timer->fire = fire;
    timer->tick = 0;
    timer->where = -1;
}

static void place(weir__wheel *wheel, weir__timer *timer) {
    uint64_t differ = (uint64_t)(timer->tick ^ wheel->tick);
    int level = differ ? (63 - __builtin_clzll(differ)) / LEVEL_SHIFT : 0;
    if (level >= WEIR__WHEEL_LEVELS) return; /* 146 years of uptime: never */
    int slot = (int)(timer->tick >> (level * LEVEL_SHIFT)) & SLOT_MASK;
    timer->where = (short)(level * WEIR__WHEEL_SLOTS + slot);
    wheel->used[level] |= UINT64_C(1) << slot;
    weir__list_push_back(&wheel->slots[level][slot], &timer->link);
}

void weir__timer_stop(weir__wheel *wheel, weir__timer *timer) {
    if (!weir__timer_running(timer)) return;
    weir__list_remove(&timer->link);
    if (timer->where < 0) return;
    int level = timer->where / WEIR__WHEEL_SLOTS, slot = timer->where % WEIR__WHEEL_SLOTS;
    if (weir__list_empty(&wheel->slots[level][slot])) wheel->used[level] &= ~(UINT64_C(1) << slot);
    timer->where = -1;
}

void weir__timer_start(weir__wheel *wheel, weir__timer *timer, int64_t at) {
    weir__timer_stop(wheel, timer);
    if (at == WEIR__NEVER) return;
    timer->tick = (at >> TICK_SHIFT) + 1; /* the first tick that begins after `at`: never early */
    if (timer->tick <= wheel->tick) timer->tick = wheel->tick + 1;
    place(wheel, timer);
}

/* The first used slot ahead, and the tick at which it begins. False when no timer runs. */
static bool first_slot(const weir__wheel *wheel, int *level, int *slot, int64_t *tick) {
    for (int l = 0; l < WEIR__WHEEL_LEVELS; l++) {
        if (!wheel->used[l]) continue;
        int s = __builtin_ctzll(wheel->used[l]);
        int shift = l * LEVEL_SHIFT;
        int64_t begin =
            ((wheel->tick >> (shift + LEVEL_SHIFT)) << (shift + LEVEL_SHIFT)) + ((int64_t)s << shift);
        *level = l;
        *slot = s;
        *tick = begin > wheel->tick ? begin : wheel->tick;
        return true;
    }
    return false;
}

int64_t weir__wheel_next(const weir__wheel *wheel) {
    int level, slot;
    int64_t tick;
    return first_slot(wheel, &level, &slot, &tick) ? tick << TICK_SHIFT : WEIR__NEVER;
}

void weir__wheel_advance(weir__wheel *wheel, int64_t now) {
    int64_t target = now >> TICK_SHIFT, tick;
    int level, slot;
    while (first_slot(wheel, &level, &slot, &tick) && tick <= target) {
        weir__link due;
        wheel->tick = tick;
        wheel->used[level] &= ~(UINT64_C(1) << slot);
        weir__list_init(&due);
        weir__list_splice(&due, &wheel->slots[level][slot]);
        for (weir__link *link = due.next; link != &due; link = link->next)
            weir__container(link, weir__timer, link)->where = -1;
        for (weir__link *link; (link = weir__list_pop_front(&due));) {
            weir__timer *timer = weir__container(link, weir__timer, link);
            if (timer->tick <= wheel->tick)
                timer->fire(timer);
            else
                place(wheel, timer);
        }
    }
    if (target > wheel->tick) wheel->tick = target;
}
