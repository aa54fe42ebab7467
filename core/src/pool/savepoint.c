/* The commands for transactions in each other; depth 2 is the first savepoint. The names only need to differ.
 */
#include "pool/pool.h"

#define EIGHT(S, tens)                                                                                       \
    S(tens##1), S(tens##2), S(tens##3), S(tens##4), S(tens##5), S(tens##6), S(tens##7), S(tens##8)
#define ALL(S) EIGHT(S, 1), EIGHT(S, 2), EIGHT(S, 3), EIGHT(S, 4)
#define SAVE(n) "SAVEPOINT weir_" #n
#define RELEASE(n) "RELEASE SAVEPOINT weir_" #n
#define ROLLBACK_TO(n) "ROLLBACK TO SAVEPOINT weir_" #n

static const char *const saves[] = {ALL(SAVE)};
static const char *const releases[] = {ALL(RELEASE)};
static const char *const rollbacks[] = {ALL(ROLLBACK_TO)};
_Static_assert(sizeof saves / sizeof *saves >= WEIR__DEPTH_MAX - 1, "a savepoint for each depth");

const char *weir__savepoint(int depth) { return saves[depth - 2]; }
const char *weir__savepoint_release(int depth) { return releases[depth - 2]; }
const char *weir__savepoint_rollback(int depth) { return rollbacks[depth - 2]; }
