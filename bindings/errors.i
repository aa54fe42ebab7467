/* The concept "error": codes as constants; what a `weir_error *` becomes is each language's typemap. */
%include "weirpool/error.h"
