/* The table of a pool's options as the code of this room sees it. */
#ifndef WEIR_CONFIG_OPTION_H
#define WEIR_CONFIG_OPTION_H

#include <weirpool/options.h>

#include "base/option.h"
#include "base/text.h"

/* Row 0 … n-1; NULL past the end. */
const weir__option *weir__option_at(size_t row);
/* NULL when there is none of that name. */
const weir__option *weir__option_find(const char *name);
/* Whether the caller has chosen the option's value: set by name, or by writing the field. */
bool weir__option_chosen(const weir_options *options, const weir__option *option);
/* Notes that the value has come from the environment. */
void weir__option_looked_up(weir_options *options, const weir__option *option);
/* What follows from the options, once nothing more is to come. A default minimum that nobody has chosen gives
 * way to a smaller maximum: max_size=3 alone has min_size 3. WEIR_EOPTION: they do not go together. */
int weir__options_settle(weir_options *options, weir_error *error);
/* WEIR_EOPTION unless the struct is of this library's version. */
int weir__options_version(const weir_options *options, weir_error *error);
/* Fails for an unknown name, with the nearest that exists. */
int weir__option_unknown(const char *name, weir_error *error);

#endif
