/* The concept "snapshot": the pool's numbers as a dict or a table. */
%include "weirpool/snapshot.h"
