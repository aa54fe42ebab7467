#include "base/sql.h"

const char *weir__sql_skip_comment(const char *p, const char *end) {
    if (end - p < 2) return p;
    if (p[0] == '-' && p[1] == '-') {
        while (p < end && *p != '\n' && *p != '\r') p++;
        return p;
    }
    if (p[0] != '/' || p[1] != '*') return p;
    int depth = 0;
    while (p < end) {
        if (end - p >= 2 && p[0] == '/' && p[1] == '*') {
            depth++;
            p += 2;
        } else if (end - p >= 2 && p[0] == '*' && p[1] == '/') {
            p += 2;
            if (--depth == 0) return p;
        } else {
            p++;
        }
    }
    return p;
}

const char *weir__sql_skip_to_word(const char *p, const char *end) {
    while (p < end && !weir__sql_in_word(*p)) {
        const char *next = weir__sql_skip_comment(p, end);
        p = next > p ? next : p + 1;
    }
    return p;
}
