/* The reactor: the one descriptor, completions, waiting. */
%include "weirpool/log.h"
%include "weirpool/reactor.h"
