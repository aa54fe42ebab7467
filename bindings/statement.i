/* The concept "statement": SQL text and parameters. */
%include "weirpool/value.h"
%include "weirpool/statement.h"
%include "weirpool/result.h"
