/* The concept "options": the table that signatures, checks, stubs and documents are made from. */
%include "weirpool/option.h"
%include "weirpool/options.h"
