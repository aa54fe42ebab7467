/* The concept "pool". */
%include "weirpool/pool.h"
