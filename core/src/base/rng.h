/* Small pseudo-random numbers for jitter (splitmix64): fast, seedable, so that a simulation replays.
   Not for secrets. */
#ifndef WEIR_BASE_RNG_H
#define WEIR_BASE_RNG_H

#include <stdint.h>

typedef struct weir__rng {
    uint64_t state;
} weir__rng;

static inline uint64_t weir__random(weir__rng *rng) {
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
/* Uniform in [0, bound); 0 for bound <= 0. */
static inline int64_t weir__random_below(weir__rng *rng, int64_t bound) {
    return bound <= 0 ? 0 : (int64_t)(weir__random(rng) % (uint64_t)bound);
}

#endif
