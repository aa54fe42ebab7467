/* The concept "statement": SQL text and parameters. Neither language has the functions of statement.h and result.h: a
   statement is no value there, but built out of the arguments of a call, run, and its result turned into rows, by the C
   of each. */
%include "weirpool/value.h"
%include "weirpool/statement.h"
%include "weirpool/result.h"
