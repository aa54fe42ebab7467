/* Dates, times, intervals and UUIDs from their texts. */
#include <string.h>

#include <weirpool/error.h>

#include "base/value.h"

/* Each reads something at *text and moves it on; false: it is not there. */

static bool take(const char **text, const char *word) {
    size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0) return false;
    *text += length;
    return true;
}

/* An unsigned number of so many digits. */
static bool take_number(const char **text, size_t least, size_t most, int64_t *out) {
    size_t digits = strspn(*text, "0123456789");
    if (digits < least || digits > most) return false;
    for (*out = 0; digits; digits--) *out = *out * 10 + (*(*text)++ - '0');
    return true;
}

/* "12:34:56.789" or "12:34", with up to so many digits for the hour, as microseconds below zero: there is one
 * more of them there than above. */
static bool take_clock(const char **text, size_t hour_digits, int64_t *out) {
    int64_t hour, minute, second = 0, fraction = 0;
    if (!take_number(text, 2, hour_digits, &hour) || !take(text, ":") || !take_number(text, 2, 2, &minute))
        return false;
    bool seconds = take(text, ":");
    if ((seconds && !take_number(text, 2, 2, &second)) || minute > 59 || second > 59) return false;
    if (seconds && take(text, ".")) {
        const char *begin = *text;
        if (!take_number(text, 1, 6, &fraction)) return false;
        for (ptrdiff_t digits = *text - begin; digits < 6; digits++) fraction *= 10;
    }
    return !__builtin_mul_overflow(hour * 3600 + minute * 60 + second, INT64_C(-1000000), out) &&
           !__builtin_sub_overflow(*out, fraction, out);
}

static bool take_time_of_day(const char **text, int64_t *out) {
    if (!take_clock(text, 2, out)) return false;
    *out = -*out;
    return *out <= WEIR_DAY_US;
}

/* "+05", "-03:30", "+00:19:32", "Z". */
static bool take_zone(const char **text, int32_t *east) {
    int64_t hours, minutes = 0, seconds = 0;
    bool negative = **text == '-';
    *east = 0;
    if (take(text, "Z")) return true;
    if (!take(text, "+") && !take(text, "-")) return false;
    if (!take_number(text, 2, 2, &hours)) return false;
    if (take(text, ":") && !take_number(text, 2, 2, &minutes)) return false;
    if (take(text, ":") && !take_number(text, 2, 2, &seconds)) return false;
    int64_t all = hours * 3600 + minutes * 60 + seconds;
    *east = (int32_t)(negative ? -all : all);
    return hours < 24 && minutes < 60 && seconds < 60;
}

/* "2024-02-29"; " BC" may stand at the very end. */
static bool take_date(const char **text, int64_t *days) {
    int64_t year, month, day;
    if (!take_number(text, 4, 7, &year) || !take(text, "-") || !take_number(text, 2, 2, &month) ||
        !take(text, "-") || !take_number(text, 2, 2, &day))
        return false;
    size_t length = strlen(*text);
    bool bc = length >= 3 && strcmp(*text + length - 3, " BC") == 0;
    if (month < 1 || month > 12 || day < 1 || day > 31 || year < 1) return false;
    if (bc) year = 1 - year;
    *days = weir_days_from_date((int)year, (int)month, (int)day);
    return *days < weir_days_from_date((int)(year + month / 12), (int)(month % 12 + 1), 1);
}

static bool at_end(const char *text) { return !*text || strcmp(text, " BC") == 0; }

static bool scan_date(const char *text, weir_value *out) {
    int64_t days;
    if (strcmp(text, "infinity") == 0 || strcmp(text, "-infinity") == 0) {
        out->as.date = *text == '-' ? INT32_MIN : INT32_MAX;
        return true;
    }
    if (!take_date(&text, &days) || !at_end(text) || days <= INT32_MIN || days >= INT32_MAX) return false;
    out->as.date = (int32_t)days;
    return true;
}

static bool scan_timestamp(const char *text, bool zone, weir_value *out) {
    int64_t days, clock, time;
    int32_t east = 0;
    if (strcmp(text, "infinity") == 0 || strcmp(text, "-infinity") == 0) {
        out->as.time = *text == '-' ? INT64_MIN : INT64_MAX;
        return true;
    }
    if (!take_date(&text, &days) || (!take(&text, " ") && !take(&text, "T"))) return false;
    if (!take_time_of_day(&text, &clock)) return false;
    if (zone && !take_zone(&text, &east)) return false;
    clock -= east * INT64_C(1000000);
    return at_end(text) && !__builtin_mul_overflow(days, WEIR_DAY_US, &time) &&
           !__builtin_add_overflow(time, clock, &out->as.time);
}

/* "1 year 2 mons -3 days +04:05:06.7", each part with its own sign and none of them needed. */
static bool scan_interval(const char *text, weir_value *out) {
    int64_t months = 0, days = 0, time = 0, number;
    if (strcmp(text, "infinity") == 0 || strcmp(text, "-infinity") == 0) {
        out->as.interval.months = out->as.interval.days = *text == '-' ? INT32_MIN : INT32_MAX;
        out->as.interval.microseconds = *text == '-' ? INT64_MIN : INT64_MAX;
        return true;
    }
    while (*text) {
        bool negative = *text == '-';
        if (negative || *text == '+') text++;
        const char *begin = text;
        if (!take_number(&text, 1, 10, &number)) return false;
        if (*text == ':') {
            text = begin;
            if (!take_clock(&text, 10, &time) || *text) return false;
            if (!negative && time == INT64_MIN) return false;
            if (!negative) time = -time;
            break;
        }
        if (negative) number = -number;
        if (take(&text, " year")) {
            months += number * 12;
        } else if (take(&text, " mon")) {
            months += number;
        } else if (take(&text, " day")) {
            days += number;
        } else {
            return false;
        }
        take(&text, "s");
        if (*text && (!take(&text, " ") || !*text)) return false;
    }
    if (months != (int32_t)months || days != (int32_t)days) return false;
    out->as.interval.months = (int32_t)months;
    out->as.interval.days = (int32_t)days;
    out->as.interval.microseconds = time;
    return true;
}

int weir__scan_time(weir_type type, const char *text, weir_value *out) {
    weir_value value = {.type = type};
    bool good = false;
    if (type == WEIR_TYPE_DATE) {
        good = scan_date(text, &value);
    } else if (type == WEIR_TYPE_TIME) {
        good = take_time_of_day(&text, &value.as.time) && !*text;
    } else if (type == WEIR_TYPE_TIMETZ) {
        good = take_time_of_day(&text, &value.as.timetz.time) && take_zone(&text, &value.as.timetz.east) &&
               !*text;
    } else if (type == WEIR_TYPE_INTERVAL) {
        good = *text && scan_interval(text, &value);
    } else {
        good = scan_timestamp(text, type == WEIR_TYPE_TIMESTAMPTZ, &value);
    }
    *out = value;
    return good ? WEIR_OK : WEIR_EVALUE;
}

int weir__hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int weir__scan_uuid(const char *text, weir_value *out) {
    size_t digits = 0;
    *out = (weir_value){.type = WEIR_TYPE_UUID};
    for (; *text; text++) {
        int digit = weir__hex_digit(*text);
        if (*text == '-') continue;
        if (digit < 0 || digits == 32) return WEIR_EVALUE;
        out->as.uuid[digits / 2] = (unsigned char)(out->as.uuid[digits / 2] << 4 | digit);
        digits++;
    }
    return digits == 32 ? WEIR_OK : WEIR_EVALUE;
}
