/* Filling in a weir_error. All accept error == NULL, all return the code, so that
   `return weir__fail(…)` reads well. */
#ifndef WEIR_BASE_ERROR_H
#define WEIR_BASE_ERROR_H

#include <weirpool/error.h>

/* Sets code, retryable (from the table) and message; what was there is cleared first. A failed allocation
   leaves the code with its general text. */
int weir__fail(weir_error *error, int code, const char *format, ...) WEIR_PRINTF(3, 4);

/* A database's report, every field copied; sqlstate and message are needed, the rest may be NULL. The code is
   WEIR_ESERVER, or the one that the SQLSTATE has for itself: 55P03 is WEIR_ELOCKTIMEOUT, 57014 stays
   WEIR_ESERVER (who cancelled is known only above). retryable follows the SQLSTATE: 40001, 40P01, 55P03,
   53xxx, 57P01-57P05, 08xxx. */
typedef struct weir__report {
    const char *severity, *sqlstate, *message, *detail, *hint, *schema, *table, *column, *constraint,
        *context;
    int position;
} weir__report;
int weir__fail_report(weir_error *error, const weir__report *report);

/* Of a statement that does not run, since one before it in the transaction has failed: SQLSTATE 25P02. */
int weir__fail_chain(weir_error *error);

/* *to becomes a deep copy of *from. A failed allocation leaves code, numbers and the code's general text. */
int weir__error_copy(weir_error *to, const weir_error *from);
/* The error moved to the heap, for handing over by pointer (weir_error_free); *error is cleared. Never NULL:
   without memory a static WEIR_ENOMEM error is given, retryable as *error was, which weir_error_free accepts.
 */
weir_error *weir__error_detach(weir_error *error);

/* The row of a SQLSTATE, for at least five characters; NULL when PostgreSQL's table has none. */
const weir_error_info *weir__sqlstate_find(const char *sqlstate);

/* ---- error_list.c */
/* Whether one of the list's items is the error's: "08,UniqueViolation"; NULL is an empty list. */
bool weir__error_is_listed(const char *list, const weir_error *error);
/* The text of the option `name`: WEIR_EOPTION names what is wrong with it. */
int weir__error_list_check(const char *name, const char *list, weir_error *error);

#endif
