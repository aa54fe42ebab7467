/*
 * Python's side of the interface. What runs once in a while crosses through here: versions, tables, a pool's
 * cold methods. What is hot (statements, awaitables, sessions, records) is hand-written C in the same module,
 * whose objects the typemaps below unwrap; so everything is left out but what is named.
 *
 * Of a session only inspect is named, which is its property `info`. What runs a statement or ends a transaction
 * may have to wait: it is an awaitable, or lets go of the GIL. What gives a connection back takes the completions
 * that this has set going. Ready, watch and limit are steps of types that are C already.
 */
%header %{
#include "weir_py.h"
%}
%init %{
  /* Docstrings of several lines begin with an empty one here, where Python does not look for the signature. */
  for (PyMethodDef *method = SwigMethods; method->ml_name; method++)
    if (method->ml_doc && *method->ml_doc == '\n') method->ml_doc++;
  if (weir__py_add_types(m) < 0) return -1; /* SWIG 4.4 and later: this is the Py_mod_exec function */
%}

%rename("$ignore", %$isclass) "";
%rename("$ignore", %$isfunction) "";
%rename("$ignore", %$isvariable) "";
%rename("$ignore", %$isenumitem) "";
%rename("$ignore", %$isconstant) "";
%feature("docstring") weir_libpq_version "libpq_version()\n--\n\nThe version of the libpq in use, as 150018."
%feature("docstring") weir_sqlite_version "sqlite_version()\n--\n\nThe version of the SQLite in use, as '3.40.1'."
%rename(version) weir_version;
%rename(libpq_version) weir_libpq_version;
%rename(sqlite_version) weir_sqlite_version;
%rename(sqlite_adopt) weir_sqlite_adopt;
%rename(error_table) weir_error_table;
%rename(error_text) weir_error_text;
%rename(sqlstate_class) weir_sqlstate_class;
%rename(option_table) weir_option_table;
%rename(option_variable) weir_option_variable;
%rename(metric_table) weir_metric_table;
%rename(histogram_bound) weir_histogram_bound;
%feature("docstring") weir_statement_fingerprint "fingerprint(sql, /)\n--\n\n\
What a statement has in common with those that differ from it in their literals and parameters alone: ? for each of\n\
them, one blank for white space and comments, and one item for those of a list that are then alike: in ($1, $2) is\n\
in (?), and values (1, 'a'), (2, 'b') is values (?).\n\n\
So it may be shown, and be the key of statistics: pool.slow_queries() tells statements in this form. Names, true,\n\
false and NULL stay, and what a server with settings or a syntax of its own takes for a literal: \"…\" of SQLite,\n\
backslashes without standard_conforming_strings. At most its first 1023 bytes, of the first 64 KiB of the text."
%rename(fingerprint) weir_statement_fingerprint;
%feature("docstring") weir_session_inspect "session_inspect(session, /)\n--\n\nThe property `info` of a Session or \
a Connection."
%rename(session_inspect) weir_session_inspect;
%rename(pool_resize) weir_pool_resize;
%rename(pool_expire) weir_pool_expire;
%rename(pool_snapshot) weir_pool_snapshot;
%rename(pool_name) weir_pool_name;
%rename(pool_option) weir_pool_option;
%rename(alert_name) weir_alert_name;
%rename(pool_url) weir_pool_url;
%rename(pool_database_system) weir_pool_database_system;
%rename(_pin_width) weir__pool_pin_width;
%rename(pool_breaker_state) weir_pool_breaker_state;
%rename(breaker_state_now) weir_breaker_state_now;
%rename(breaker_name) weir_breaker_name;
%rename(breaker_force_open) weir_breaker_force_open;
%rename(breaker_force_close) weir_breaker_force_close;
%rename(breaker_disable) weir_breaker_disable;
%rename(breaker_metrics_only) weir_breaker_metrics_only;
%rename(breaker_reset) weir_breaker_reset;
%rename(breaker_take_snapshot) weir_breaker_take_snapshot;
%rename(metrics_render) weir_metrics_render;
%rename(CONTENT_TYPE_PROMETHEUS) WEIR_CONTENT_TYPE_PROMETHEUS;
%rename(CONTENT_TYPE_OPENMETRICS) WEIR_CONTENT_TYPE_OPENMETRICS;
%rename(breaker_option_table) weir_breaker_option_table;
%rename(breaker_metric_table) weir_breaker_metric_table;

/* A Pool or SyncPool, open; what the call has set going is taken afterwards. */
%typemap(in) weir_pool *pool, const weir_pool *pool {
  $1 = weir__py_pool_handle($input);
  if (!$1) SWIG_fail;
}
%typemap(argout) weir_pool *pool "weir__py_pool_after($input);"

/* A lent connection. */
%typemap(in) weir_session session {
  if (weir__py_session_handle($input, &$1) < 0) SWIG_fail;
}
%typemap(out) int weir_session_inspect "$result = NULL;"
%typemap(in, numinputs=0) weir_session_info *out (weir_session_info info) "$1 = &info;"
%typemap(argout) weir_session_info *out {
  if (result == WEIR_OK && !($result = weir__py_session_info($1))) SWIG_fail;
}

/* SQL, and what is written of it. */
%typemap(in) (const char *sql, size_t length) {
  Py_ssize_t bytes;
  $1 = weir__py_sql_text($input, &bytes);
  if (!$1) SWIG_fail;
  $2 = (size_t)bytes;
}
%typemap(out) size_t weir_statement_fingerprint "$result = NULL; (void)$1;"
%typemap(in, numinputs=0) (char *out, size_t size) (char text[WEIR_FINGERPRINT_SIZE]) {
  $1 = text;
  $2 = sizeof text;
}
%typemap(argout) (char *out, size_t size) {
  if (!($result = PyUnicode_DecodeUTF8($1, (Py_ssize_t)result, "replace"))) SWIG_fail;
}

/* A Breaker: one that stands alone, or an open pool's. */
%typemap(in) weir_breaker *breaker, const weir_breaker *breaker {
  $1 = weir__py_breaker_handle($input);
  if (!$1) SWIG_fail;
}
%typemap(argout) weir_breaker *breaker "weir__py_breaker_after($input);"
%typemap(in, numinputs=0) size_t endpoint "$1 = 0;"
%typemap(out) weir_breaker_state "$result = PyUnicode_FromString(weir_breaker_state_name($1));"

%typemap(in) int min_size, int max_size {
  if (weir__py_bound("$1_name", $input, &$1) < 0) SWIG_fail;
}

/* A failure becomes the exception of its code. */
%typemap(in, numinputs=0) weir_error *error (weir_error error = WEIR_ERROR_INIT) "$1 = &error;"
%typemap(argout) weir_error *error {
  if (result != WEIR_OK) {
    Py_CLEAR($result);
    weir__py_raise($1);
    SWIG_fail;
  }
}
%typemap(out) int weir_pool_resize, int weir_pool_expire, int weir__pool_pin_width
  "$result = Py_NewRef(Py_None);"

/* For the benchmark alone, so in no public header. */
%feature("docstring") weir__pool_pin_width "_pin_width(pool, width, /)\n--\n\nSo many connections are kept busy \
from here on; 0: as many as is learnt."
%{
int weir__pool_pin_width(weir_pool *pool, int width, weir_error *error);
%}
int weir__pool_pin_width(weir_pool *pool, int width, weir_error *error);

/* Tables: a row as a tuple, None past the end. */
%typemap(out) bool "$result = NULL; if (!$1) $result = Py_NewRef(Py_None);"
%typemap(in, numinputs=0) weir_error_info *out (weir_error_info row) "$1 = &row;"
%typemap(argout) weir_error_info *out {
  if (!$result) $result = Py_BuildValue("(izssz)", $1->code, $1->sqlstate, $1->name, $1->parent, $1->also);
}
%typemap(in, numinputs=0) weir_option_info *out (weir_option_info row) "$1 = &row;"
%typemap(argout) weir_option_info *out {
  if (!$result) $result = weir__py_option_row($1);
}
%typemap(in, numinputs=0) weir_metric_info *out (weir_metric_info row) "$1 = &row;"
%typemap(argout) weir_metric_info *out {
  if (!$result) $result = Py_BuildValue("(sis)", $1->name, (int)$1->kind, $1->text);
}

%typemap(out) int weir_pool_option "$result = NULL;"
%typemap(in, numinputs=0) weir_value *out (weir_value value) "$1 = &value;"
%typemap(argout) weir_value *out {
  if (result == WEIR_OK && !($result = weir__py_from_value(NULL, $1))) SWIG_fail;
}

%typemap(out) int weir_pool_snapshot "$result = NULL;"
%typemap(in, numinputs=0) weir_snapshot *out (weir_snapshot snapshot) {
  snapshot.struct_size = sizeof snapshot;
  $1 = &snapshot;
}
%typemap(argout) weir_snapshot *out {
  if (result == WEIR_OK && !($result = weir__py_snapshot($1))) SWIG_fail;
}

%typemap(out) int weir_breaker_take_snapshot "$result = NULL;"
%typemap(in, numinputs=0) weir_breaker_snapshot *out (weir_breaker_snapshot snapshot) {
  snapshot.struct_size = sizeof snapshot;
  $1 = &snapshot;
}
%typemap(argout) weir_breaker_snapshot *out {
  if (result == WEIR_OK && !($result = weir__py_breaker_snapshot($1))) SWIG_fail;
}

/* Metrics: a sequence of pools, or None for all, and the text. */
%typemap(in) (weir_pool *const *pools, size_t count) {
  if (weir__py_pools($input, &$1, &$2) < 0) SWIG_fail;
}
%typemap(argout) (weir_pool *const *pools, size_t count) "weir__py_pools_after($input);"
%typemap(freearg) (weir_pool *const *pools, size_t count) "PyMem_Free((void *)$1);"
%typemap(out) int weir_metrics_render "$result = NULL;"
%typemap(in, numinputs=0) (char **text, size_t *length) (char *text = NULL, size_t length = 0) {
  $1 = &text;
  $2 = &length;
}
%typemap(argout) (char **text, size_t *length) {
  if (result == WEIR_OK && !($result = PyUnicode_DecodeUTF8(*$1, (Py_ssize_t)*$2, NULL))) SWIG_fail;
}
%typemap(freearg) (char **text, size_t *length) "weir_metrics_free(*$1);"
