#include "base/text.h"

#include <stdint.h>
#include <string.h>

#define LONGEST_NAME 32 /* a longer one is like no other */

const char *weir__quote(char out[WEIR__QUOTE_SIZE], const char *text) {
    size_t length = strlen(text), kept = length < WEIR__QUOTE_SIZE ? length : WEIR__QUOTE_SIZE - 4;
    for (size_t i = 0; i < kept; i++) out[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
    strcpy(out + kept, kept < length ? "..." : "");
    return out;
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Damerau's and Levenshtein's distance, where two letters that changed places count once. */
static size_t distance(const char *a, const char *b) {
    size_t before[LONGEST_NAME + 1] = {0}, last[LONGEST_NAME + 1], now[LONGEST_NAME + 1] = {0};
    size_t rows = strlen(a), columns = strlen(b);
    for (size_t j = 0; j <= columns; j++) last[j] = j;
    for (size_t i = 1; i <= rows; i++) {
        now[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            now[j] = smaller(smaller(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], before[j - 2] + 1);
        }
        memcpy(before, last, sizeof before);
        memcpy(last, now, sizeof last);
    }
    return last[columns];
}

/* The least distance to a name, or to its first or last words: "size", of max_size. */
static size_t distance_to_part(const char *name, const char *other) {
    char part[LONGEST_NAME + 1];
    size_t best = SIZE_MAX;
    for (const char *at = strchr(other, '_'); at; at = strchr(at + 1, '_')) {
        memcpy(part, other, (size_t)(at - other));
        part[at - other] = '\0';
        best = smaller(best, smaller(distance(name, part), distance(name, at + 1)));
    }
    return best;
}

static const char *nearest(const char *name, const char *(*at)(const void *arg, size_t row), const void *arg,
                           size_t (*measure)(const char *name, const char *other), bool *single) {
    const char *found = NULL, *other;
    size_t best = strlen(name) / 3 + 1;
    for (size_t row = 0; (other = at(arg, row)); row++) {
        if (strlen(other) > LONGEST_NAME) continue;
        size_t far = measure(name, other);
        if (far == best && found) *single = false;
        if (far >= best) continue;
        best = far;
        found = other;
        *single = true;
    }
    return found;
}

const char *weir__nearest(const char *name, const char *(*at)(const void *arg, size_t row), const void *arg) {
    bool single = false;
    if (strlen(name) > LONGEST_NAME) return NULL;
    const char *whole = nearest(name, at, arg, distance, &single);
    if (whole) return whole;
    const char *part = nearest(name, at, arg, distance_to_part, &single);
    return part && single ? part : NULL;
}

bool weir__utf8_valid(const char *text, size_t length) {
    const unsigned char *at = (const unsigned char *)text, *end = at + length;
    while (at < end) {
        unsigned char first = *at++;
        if (first < 0x80) continue;
        if (first < 0xc2 || first > 0xf4) return false;
        int more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        if (end - at < more) return false;
        /* Overlong forms, surrogates and what lies above U+10FFFF show in the second byte. */
        unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (at[0] < low || at[0] > high) return false;
        for (int i = 1; i < more; i++)
            if (at[i] < 0x80 || at[i] > 0xbf) return false;
        at += more;
    }
    return true;
}

size_t weir__whole_characters(const char *text, size_t length) {
    size_t last = length;
    while (last > 0 && length - last < 3 && ((unsigned char)text[last - 1] & 0xC0) == 0x80) last--;
    if (last == 0) return length;
    unsigned char lead = (unsigned char)text[last - 1];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    return length - (last - 1) < need ? last - 1 : length;
}
