/* What is done with a connection that comes back: the option `reset`, and the one by session. */
#ifndef WEIR_CONFIG_RESET_H
#define WEIR_CONFIG_RESET_H

#include <weirpool/error.h>

typedef enum weir__reset {
    WEIR__RESET_DEFAULT, /* of a loan: as the pool's option says */
    WEIR__RESET_AUTO,    /* when a statement's text shows that something may have been left behind */
    WEIR__RESET_ALWAYS,  /* whenever anything has been run */
    WEIR__RESET_NEVER,   /* nothing but the end of an open transaction */
    WEIR__RESET_SQL,     /* the option's own text, whenever anything has been run */
} weir__reset;

/* Of a text that has been checked. */
weir__reset weir__reset_of(const char *option);
/* The value of a loan: NULL, auto, always or never. WEIR_EINVAL otherwise. */
int weir__reset_of_loan(const char *text, weir__reset *out, weir_error *error);
/* WEIR_EOPTION, or WEIR_OK; NULL is no text. */
int weir__reset_check(const char *text, weir_error *error);
int weir__reset_functions_check(const char *text, weir_error *error);
/* The next name of a list of functions: *length bytes; *list moves behind it. NULL: there is none left. */
const char *weir__reset_next_function(const char **list, size_t *length);

#endif
