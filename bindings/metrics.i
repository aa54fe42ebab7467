/* The concept "metrics": the numbers of pools as text. */
%include "weirpool/metrics.h"
