/* The environment's variables, of the table WEIR_VARIABLES. */
#ifndef WEIR_CONFIG_ENVIRONMENT_H
#define WEIR_CONFIG_ENVIRONMENT_H

#include <weirpool/options.h>

/* The value of the first of the option's variables that is set, or NULL. Borrowed from the environment. */
const char *weir__environment_get(const char *option, const char **variable);
/* Gives every option that nobody has chosen the value of its variable; texts are borrowed. WEIR_EOPTION names
 * the variable. */
int weir__environment_merge(weir_options *options, weir_error *error);
/* Puts the name of the variable in front of an error's message. Gives its code. */
int weir__environment_blame(const char *variable, int code, weir_error *error);

#endif
