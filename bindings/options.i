/* The concept "options": the table that signatures, checks, stubs and documents are made from. */
%include "weirpool/options.h"
