#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/value.h"

const char *weir_type_name(weir_type type) {
    switch (type) {
#define NAME(suffix, number, name)                                                                           \
    case WEIR_TYPE_##suffix:                                                                                 \
        return name;
        WEIR_TYPES(NAME)
#undef NAME
    }
    return NULL;
}

/* ---- the calendar: eras of 400 years, which begin with March of a year that 400 divides, so that the leap
 * day is a year's last */

#define ERA_DAYS 146097
#define FIRST_DAY 730425 /* days from 0000-03-01 to 2000-01-01 */

static int64_t floor_div(int64_t n, int64_t by) { return n / by - (n % by < 0); }

void weir_date_from_days(int32_t days, int *year, int *month, int *day) {
    int64_t n = (int64_t)days + FIRST_DAY, era = floor_div(n, ERA_DAYS);
    int of_era = (int)(n - era * ERA_DAYS);
    int y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = of_era - (365 * y + y / 4 - y / 100);
    int m = (5 * of_year + 2) / 153; /* 0: March */
    *day = of_year - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = (int)(era * 400) + y + (*month <= 2);
}

int64_t weir_days_from_date(int year, int month, int day) {
    int64_t y = (int64_t)year - (month <= 2), era = floor_div(y, 400);
    int of_era = (int)(y - era * 400), m = month > 2 ? month - 3 : month + 9;
    int of_year = (153 * m + 2) / 5 + day - 1;
    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - FIRST_DAY;
}

/* ---- infinity */

int weir_value_infinity(const weir_value *value) {
    int64_t at = value->as.time, most = INT64_MAX, least = INT64_MIN;
    if (value->type == WEIR_TYPE_DATE) {
        at = value->as.date;
        most = INT32_MAX;
        least = INT32_MIN;
    } else if (value->type == WEIR_TYPE_INTERVAL) {
        at = value->as.interval.microseconds;
        int32_t whole = at < 0 ? INT32_MIN : INT32_MAX;
        if (value->as.interval.months != whole || value->as.interval.days != whole) return 0;
    } else if (value->type != WEIR_TYPE_TIMESTAMP && value->type != WEIR_TYPE_TIMESTAMPTZ) {
        return 0;
    }
    return (at == most) - (at == least);
}

void weir__make_finite(weir_value *value) {
    int sign = weir_value_infinity(value);
    int64_t first = weir_days_from_date(1, 1, 1), last = weir_days_from_date(9999, 12, 31);
    if (!sign) return;
    if (value->type == WEIR_TYPE_DATE) {
        value->as.date = (int32_t)(sign > 0 ? last : first);
    } else if (value->type == WEIR_TYPE_INTERVAL) {
        value->as.interval.months = 0;
        value->as.interval.days = sign * 999999999;
        value->as.interval.microseconds = sign > 0 ? WEIR_DAY_US - 1 : 0;
    } else {
        value->as.time = sign > 0 ? (last + 1) * WEIR_DAY_US - 1 : first * WEIR_DAY_US;
    }
}

/* ---- text */

static char *print_date(char *p, int32_t days, bool *bc) {
    int year, month, day;
    weir_date_from_days(days, &year, &month, &day);
    *bc = year <= 0;
    return p + sprintf(p, "%04d-%02d-%02d", *bc ? 1 - year : year, month, day);
}

static char *print_fraction(char *p, int microseconds) {
    if (!microseconds) return p;
    p += sprintf(p, ".%06d", microseconds);
    while (p[-1] == '0') *--p = '\0';
    return p;
}

static char *print_time(char *p, int64_t time) {
    int64_t seconds = time / 1000000;
    p += sprintf(p, "%02d:%02d:%02d", (int)(seconds / 3600), (int)(seconds / 60 % 60), (int)(seconds % 60));
    return print_fraction(p, (int)(time % 1000000));
}

static char *print_zone(char *p, int32_t east) {
    int seconds = east < 0 ? -east : east;
    p += sprintf(p, "%c%02d", east < 0 ? '-' : '+', seconds / 3600);
    if (seconds % 3600) p += sprintf(p, ":%02d", seconds / 60 % 60);
    if (seconds % 60) p += sprintf(p, ":%02d", seconds % 60);
    return p;
}

static char *print_timestamp(char *p, int64_t time, bool zone) {
    bool bc;
    int64_t of_day = time % WEIR_DAY_US;
    p = print_date(p, (int32_t)floor_div(time, WEIR_DAY_US), &bc);
    *p++ = ' ';
    p = print_time(p, of_day < 0 ? of_day + WEIR_DAY_US : of_day);
    if (zone) p = stpcpy(p, "+00");
    return bc ? stpcpy(p, " BC") : p;
}

static char *print_part(char *p, int64_t number, char unit) {
    return number ? p + sprintf(p, "%" PRId64 "%c", number, unit) : p;
}

static char *print_interval(char *p, int32_t months, int32_t days, int64_t microseconds) {
    bool negative = microseconds < 0;
    uint64_t left = negative ? -(uint64_t)microseconds : (uint64_t)microseconds;
    int64_t minutes = (int64_t)(left / 60000000), sign = negative ? -1 : 1;
    *p++ = 'P';
    p = print_part(p, months / 12, 'Y');
    p = print_part(p, months % 12, 'M');
    p = print_part(p, days, 'D');
    if (!left) return p[-1] == 'P' ? stpcpy(p, "T0S") : p;
    *p++ = 'T';
    p = print_part(p, sign * (minutes / 60), 'H');
    p = print_part(p, sign * (minutes % 60), 'M');
    if (!(left % 60000000)) return p;
    p += sprintf(p, "%s%d", negative ? "-" : "", (int)(left / 1000000 % 60));
    return stpcpy(print_fraction(p, (int)(left % 1000000)), "S");
}

static char *print_uuid(char *p, const unsigned char *uuid) {
    for (int i = 0; i < 16; i++)
        p += sprintf(p, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", uuid[i]);
    return p;
}

size_t weir_value_text(const weir_value *value, char *out) {
    char *p = out;
    bool bc = false;
    int infinity = weir_value_infinity(value);
    *p = '\0';
    if (infinity) return (size_t)(stpcpy(p, infinity < 0 ? "-infinity" : "infinity") - out);
    switch (value->type) {
    case WEIR_TYPE_NULL:
    case WEIR_TYPE_BOOL:
    case WEIR_TYPE_INT:
    case WEIR_TYPE_FLOAT:
    case WEIR_TYPE_NUMERIC:
    case WEIR_TYPE_TEXT:
    case WEIR_TYPE_BYTES:
    case WEIR_TYPE_INET:
    case WEIR_TYPE_CIDR:
    case WEIR_TYPE_ARRAY:
    case WEIR_TYPE_JSON:
    case WEIR_TYPE_RANGE:
    case WEIR_TYPE_MULTIRANGE:
    case WEIR_TYPE_RECORD:
    case WEIR_TYPE_MAP:
    case WEIR_TYPE_RAW:
        break;
    case WEIR_TYPE_DATE:
        p = print_date(p, value->as.date, &bc);
        if (bc) p = stpcpy(p, " BC");
        break;
    case WEIR_TYPE_TIME:
        p = print_time(p, value->as.time);
        break;
    case WEIR_TYPE_TIMETZ:
        p = print_zone(print_time(p, value->as.timetz.time), value->as.timetz.east);
        break;
    case WEIR_TYPE_TIMESTAMP:
    case WEIR_TYPE_TIMESTAMPTZ:
        p = print_timestamp(p, value->as.time, value->type == WEIR_TYPE_TIMESTAMPTZ);
        break;
    case WEIR_TYPE_INTERVAL:
        p = print_interval(p, value->as.interval.months, value->as.interval.days,
                           value->as.interval.microseconds);
        break;
    case WEIR_TYPE_UUID:
        p = print_uuid(p, value->as.uuid);
        break;
    }
    return (size_t)(p - out);
}
