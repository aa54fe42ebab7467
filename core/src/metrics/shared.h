/*
 * Cells that processes share: a file that each maps, with a place for each of their pools, so that any of
 * them can tell the numbers of all, and those of a process that was killed are not lost.
 *
 * A place is held by whoever has its byte of the file locked. The lock is one of an open file description
 * (F_OFD_SETLK): the kernel drops it when the process ends, however it ends, and no number of a process is
 * asked for, which another one may have by now. A child of fork closes the descriptors that it inherits, so
 * that it keeps no place of its parent's.
 *
 * What a place has counted stays when its holder ends; a pool of the same name that comes later takes the
 * place over. To the sum of all holders before (`past`) it adds what the last one counted (`now`) and begins
 * anew with `now`, so that its own snapshot starts at zero. There are two sums, and one number says which of
 * them counts, and of whose turn `now` must be to count too: the step from one to the other is one store, and
 * a process may be killed before or after it. Places are taken under the lock of byte 0, which readers share.
 * When all have been somebody's, a name that no pool has any more is forgotten for a new one.
 *
 * Gauges count only while their place is held. A pool of no place (metrics_shared is not given) has none of
 * this.
 */
#ifndef WEIR_METRICS_SHARED_H
#define WEIR_METRICS_SHARED_H

#include <weirpool/error.h>

#include "base/list.h"
#include "metrics/cells.h"

enum {
    WEIR__SHARED_PLACES = 256,
    WEIR__SHARED_NAME = 256, /* bytes of a pool's name, the NUL included */
    WEIR__SHARED_SYSTEM = 16,
};

/* A pool's place. */
typedef struct weir__shared weir__shared;
/* What one name's other places come to. */
typedef struct weir__shared_sum {
    const char *name, *system; /* in the mapping: for the visit */
    weir_snapshot gauges;      /* nothing but gauges, added up; of breakers the one that lets less in */
    weir__cells cells;
} weir__shared_sum;

/* Takes a place in the file, which is made if need be. WEIR_EOPTION names what is wrong with the file;
 * WEIR_ENOMEM. */
int weir__shared_join(const char *path, const char *name, const char *system, weir__shared **out,
                      weir_error *error);
/* Gives it back; NULL is accepted. */
void weir__shared_leave(weir__shared *shared);
/* Where the holder counts, under a lock of its own. */
weir__cells *weir__shared_cells(weir__shared *shared);
/* Makes the holder's gauges known; likewise. */
void weir__shared_publish(weir__shared *shared, const weir_snapshot *gauges);
/*
 * Calls visit(arg, sum) for each name in the file; for nobody but `name` when that is not NULL. All places
 * count but for what the holder of `shared` has in its `now`, and its gauges: those he knows better. False:
 * it would not do without waiting for long; nothing was visited.
 */
bool weir__shared_visit(weir__shared *shared, const char *name,
                        void (*visit)(void *arg, const weir__shared_sum *sum), void *arg);
/* Whether two pools' places are in the same file. */
bool weir__shared_same(const weir__shared *a, const weir__shared *b);

#endif
