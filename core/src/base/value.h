/* Values from their texts, and infinity where there is none. */
#ifndef WEIR_BASE_VALUE_H
#define WEIR_BASE_VALUE_H

#include <weirpool/value.h>

/*
 * A DATE, TIME, TIMETZ, TIMESTAMP or TIMESTAMPTZ from an ISO 8601 text, the date with 4 to 7 digits for the
 * year and " BC" at the very end, if at all; a T may stand before the time, its seconds may be missing. An
 * INTERVAL from what a PostgreSQL with IntervalStyle postgres writes. A NUL ends the text. WEIR_EVALUE: it is
 * none.
 */
int weir__scan_time(weir_type type, const char *text, weir_value *out);
/* A UUID from 32 hexadecimal digits, with hyphens anywhere. WEIR_EVALUE. */
int weir__scan_uuid(const char *text, weir_value *out);
/* -1: it is none. */
int weir__hex_digit(char c);

/* What stands for infinity where the database has none: the last moment of the year 9999, the first of the
 * year 1, 1,000,000,000 days less a microsecond, -999,999,999 days, which is what Python has for it. Other
 * values are left alone. */
void weir__make_finite(weir_value *value);

#endif
