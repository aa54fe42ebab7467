#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale; /* (locale_t)0 when it could not be made */

static void make_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

/* Makes this thread's locale "C"; give the result to uselocale. */
static locale_t enter_c_locale(void) {
    pthread_once(&locale_once, make_locale);
    return uselocale(c_locale);
}

void weir__print_double(double value, char *out) {
    if (isnan(value)) {
        strcpy(out, "NaN");
        return;
    }
    if (isinf(value)) {
        strcpy(out, value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    locale_t before = enter_c_locale();
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, value);
        if (strtod(out, NULL) == value) break;
    }
    uselocale(before);
}

bool weir__scan_double(const char *text, double *out) {
    char *end;
    if (strcmp(text, "NaN") == 0) {
        *out = NAN;
        return true;
    }
    if (strcmp(text, "Infinity") == 0 || strcmp(text, "-Infinity") == 0) {
        *out = *text == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (strspn(text, "0123456789+-.eE") != strlen(text)) return false;
    locale_t before = enter_c_locale();
    *out = strtod(text, &end);
    uselocale(before);
    return end != text && !*end;
}
