/* What the tests of options and of URLs have in common. */
#ifndef CONFIG_ASSERT_H
#define CONFIG_ASSERT_H

#include <check.h>
#include <string.h>

#include <weirpool/error.h>

#define COUNT_OF(array) (int)(sizeof(array) / sizeof(array)[0])

/* The message has all the words of `words`, which are separated by '|'. */
static inline void assert_words(const char *message, const char *words) {
    char copy[256], *rest = copy;
    ck_assert_uint_lt(strlen(words), sizeof copy);
    strcpy(copy, words);
    for (char *word; (word = strsep(&rest, "|"));)
        ck_assert_msg(strstr(message, word), "\"%s\" lacks \"%s\"", message, word);
}

static inline void assert_fails(int code, weir_error *error, const char *words) {
    ck_assert_int_eq(code, WEIR_EOPTION);
    ck_assert_int_eq(error->code, WEIR_EOPTION);
    assert_words(error->message, words);
    weir_error_clear(error);
}

#endif
