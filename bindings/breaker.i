/* The concept "circuit breaker": one that stands alone, or a pool's. */
%include "weirpool/breaker.h"
