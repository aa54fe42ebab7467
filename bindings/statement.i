/* The concept "statement": SQL text and parameters. What asks something of a text (fingerprint) is called through here.
   As a value a statement is in neither language: it is built out of the arguments of a call, run, and its result turned
   into rows, by the C of each. */
%include "weirpool/value.h"
%include "weirpool/statement.h"
%include "weirpool/result.h"
