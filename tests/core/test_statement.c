/* Statements: their text, their sets of parameters, their limits. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/statement.h"
#include "support_suite.h"

static weir_statement *new_statement(const char *sql) {
    weir_error error = WEIR_ERROR_INIT;
    weir_statement *statement = weir_statement_new(sql, strlen(sql), &error);
    ck_assert_ptr_nonnull(statement);
    ck_assert_int_eq(error.code, WEIR_OK);
    return statement;
}

static void add_int(weir_statement *statement, int64_t n) {
    weir_value value = {.type = WEIR_TYPE_INT, .as.integer = n};
    weir_statement_add(statement, &value);
}

static void add_bytes(weir_statement *statement, weir_type type, const char *data, size_t length) {
    weir_value own, *value = weir_statement_place(statement);
    if (!value) value = &own;
    *value = (weir_value){.type = type, .as.bytes = {data, length}};
    weir_statement_add(statement, value);
}

static void assert_refused(const weir_statement *statement, int code, const char *message) {
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir__statement_check(statement, &error), code);
    ck_assert_int_eq(error.code, code);
    ck_assert_str_eq(error.message, message);
    weir_error_clear(&error);
    ck_assert_int_eq(weir__statement_check(statement, NULL), code);
}

static void assert_fine(const weir_statement *statement) {
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir__statement_check(statement, &error), WEIR_OK);
    ck_assert_int_eq(error.code, WEIR_OK);
}

START_TEST(keeps_text_and_values) {
    long before = weir__alloc_live();
    char sql[] = "select $1, $2", text[] = "w\xc3\xa9ir";
    weir_statement *statement = new_statement(sql);
    memset(sql, 'x', sizeof sql - 1);
    ck_assert_str_eq(statement->sql, "select $1, $2");
    ck_assert_uint_eq(statement->sql_length, 13);
    ck_assert_uint_eq(statement->sets, 1);
    ck_assert(!statement->many);

    weir_value values[] = {{.type = WEIR_TYPE_NULL},
                           {.type = WEIR_TYPE_BOOL, .as.boolean = true},
                           {.type = WEIR_TYPE_INT, .as.integer = INT64_MIN},
                           {.type = WEIR_TYPE_FLOAT, .as.real = -0.5}};
    for (int i = 0; i < 4; i++) weir_statement_add(statement, &values[i]);
    add_bytes(statement, WEIR_TYPE_NUMERIC, "-12.50", 6);
    add_bytes(statement, WEIR_TYPE_TEXT, text, 5);
    add_bytes(statement, WEIR_TYPE_BYTES, "\0\1\2", 3);
    add_bytes(statement, WEIR_TYPE_TEXT, NULL, 0);
    memset(text, 'x', sizeof text - 1);
    assert_fine(statement);
    ck_assert_int_eq(weir__alloc_live(), before + 1); /* all of it in one block */

    ck_assert_uint_eq(statement->parameters, 8);
    const weir_value *set = weir__statement_set(statement, 0);
    ck_assert_int_eq(set[0].type, WEIR_TYPE_NULL);
    ck_assert(set[1].as.boolean);
    ck_assert_int_eq(set[2].as.integer, INT64_MIN);
    ck_assert_double_eq(set[3].as.real, -0.5);
    ck_assert_str_eq(set[4].as.bytes.data, "-12.50");
    ck_assert_str_eq(set[5].as.bytes.data, "w\xc3\xa9ir");
    ck_assert_mem_eq(set[6].as.bytes.data, "\0\1\2\0", 4);
    ck_assert_str_eq(set[7].as.bytes.data, "");
    ck_assert_int_eq(set[7].type, WEIR_TYPE_TEXT);
    weir_statement_unref(statement);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(refuses_bad_text) {
    static const struct {
        const char *sql;
        size_t length;
        const char *message;
    } cases[] = {
        {"", 0, "the statement is empty"},
        {NULL, 0, "the statement is empty"},
        {NULL, 3, "the statement is empty"},
        {"select\0 1", 9, "the statement's text contains a NUL"},
        {"x", ((size_t)1 << 30) + 1, "the statement's text is longer than 1 GiB"},
        {"x", ((size_t)1 << 31) - 1, "the statement's text is longer than 1 GiB"},
        {"x", (size_t)1 << 31, "the statement's text is longer than 1 GiB"},
        {"x", ((size_t)1 << 31) + 1, "the statement's text is longer than 1 GiB"},
        {"x", SIZE_MAX, "the statement's text is longer than 1 GiB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weir_error error = WEIR_ERROR_INIT;
        ck_assert_ptr_null(weir_statement_new(cases[i].sql, cases[i].length, &error));
        ck_assert_int_eq(error.code, WEIR_EINVAL);
        ck_assert_str_eq(error.message, cases[i].message);
        weir_error_clear(&error);
        ck_assert_ptr_null(weir_statement_new(cases[i].sql, cases[i].length, NULL));
    }
    weir_statement_unref(NULL);
    weir_statement_add(NULL, NULL);
    ck_assert_ptr_null(weir_statement_place(NULL));
    weir_statement_add_set(NULL);
    weir_statement_no_sets(NULL);
}
END_TEST

START_TEST(many_values_and_texts) {
    long before = weir__alloc_live();
    weir_statement *statement = new_statement("insert");
    char text[40000];
    weir_statement_no_sets(statement);
    for (int set = 0; set < 300; set++) {
        weir_statement_add_set(statement);
        add_int(statement, set);
        /* Sizes from nothing over small ones, which share chunks, to ones with a chunk of their own. */
        memset(text, 'a' + set % 26, sizeof text);
        add_bytes(statement, WEIR_TYPE_TEXT, text, (size_t)(set % 10 == 9 ? set * 100 : set));
        add_bytes(statement, WEIR_TYPE_BYTES, text, (size_t)(set % 7));
    }
    assert_fine(statement);
    ck_assert(statement->many);
    ck_assert_uint_eq(statement->sets, 300);
    ck_assert_uint_eq(statement->parameters, 3);
    for (int set = 0; set < 300; set++) {
        const weir_value *values = weir__statement_set(statement, (size_t)set);
        size_t length = (size_t)(set % 10 == 9 ? set * 100 : set);
        memset(text, 'a' + set % 26, sizeof text);
        ck_assert_int_eq(values[0].as.integer, set);
        ck_assert_uint_eq(values[1].as.bytes.length, length);
        ck_assert(memcmp(values[1].as.bytes.data, text, length) == 0);
        ck_assert_int_eq(values[1].as.bytes.data[length], '\0');
        ck_assert_uint_eq(values[2].as.bytes.length, (size_t)(set % 7));
        ck_assert(memcmp(values[2].as.bytes.data, text, (size_t)(set % 7)) == 0);
    }
    weir_statement_unref(statement);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(counts_sets) {
    weir_statement *statement = new_statement("x");
    assert_fine(statement);
    ck_assert_uint_eq(statement->parameters, 0);
    weir_statement_add_set(statement); /* the first set was empty: now two of no parameters */
    assert_fine(statement);
    ck_assert(statement->many);
    ck_assert_uint_eq(statement->sets, 2);
    weir_statement_unref(statement);

    statement = new_statement("x");
    add_int(statement, 1);
    add_int(statement, 2);
    weir_statement_no_sets(statement);
    assert_fine(statement);
    ck_assert(statement->many);
    ck_assert_uint_eq(statement->sets, 0);
    ck_assert_uint_eq(statement->parameters, 0);
    weir_statement_add_set(statement);
    add_int(statement, 3);
    assert_fine(statement);
    ck_assert_uint_eq(statement->sets, 1);
    ck_assert_uint_eq(statement->parameters, 1);
    ck_assert_int_eq(weir__statement_set(statement, 0)->as.integer, 3);
    weir_statement_unref(statement);
}
END_TEST

START_TEST(refuses_uneven_sets) {
    weir_statement *statement = new_statement("x");
    add_int(statement, 1);
    add_int(statement, 2);
    weir_statement_add_set(statement);
    add_int(statement, 3);
    add_int(statement, 4);
    weir_statement_add_set(statement);
    assert_refused(statement, WEIR_EINVAL, "set 3 has 0 parameters, but set 1 has 2"); /* the last one */
    add_int(statement, 5);
    weir_statement_add_set(statement);
    add_int(statement, 6);
    assert_refused(statement, WEIR_EINVAL, "set 3 has 1 parameters, but set 1 has 2"); /* one in the middle */
    weir_statement_no_sets(statement);
    assert_fine(statement);
    weir_statement_add_set(statement);
    weir_statement_add_set(statement);
    add_int(statement, 1);
    assert_refused(statement, WEIR_EINVAL, "set 2 has 1 parameters, but set 1 has 0");
    weir_statement_unref(statement);
}
END_TEST

START_TEST(refuses_a_parameter_without_set) {
    weir_statement *statement = new_statement("x");
    weir_statement_no_sets(statement);
    add_int(statement, 1);
    weir_statement_add_set(statement);
    assert_refused(statement, WEIR_EINVAL, "a parameter was added before the first set");
    ck_assert_uint_eq(statement->count, 0);
    weir_statement_unref(statement);
}
END_TEST

START_TEST(refuses_too_many_parameters) {
    weir_statement *statement = new_statement("x");
    for (int i = 0; i < 65535; i++) add_int(statement, i);
    assert_fine(statement);
    ck_assert_uint_eq(statement->parameters, 65535);
    add_int(statement, 0);
    assert_refused(statement, WEIR_EINVAL, "set 1 has more than 65535 parameters");
    weir_statement_unref(statement);
}
END_TEST

START_TEST(refuses_too_many_sets) {
    weir_statement *statement = new_statement("x");
    while (statement->sets < WEIR__STATEMENT_SETS_MAX) weir_statement_add_set(statement);
    assert_fine(statement);
    weir_statement_add_set(statement);
    ck_assert_uint_eq(statement->sets, WEIR__STATEMENT_SETS_MAX);
    assert_refused(statement, WEIR_EINVAL, "more than 16777216 sets of parameters");
    weir_statement_unref(statement);
}
END_TEST

START_TEST(refuses_too_many_bytes) {
    static const size_t lengths[] = {((size_t)1 << 30) + 1, ((size_t)1 << 31) - 1, (size_t)1 << 31,
                                     ((size_t)1 << 31) + 1, ((size_t)1 << 32) + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        weir_statement *statement = new_statement("x");
        add_int(statement, 1);
        add_bytes(statement, WEIR_TYPE_TEXT, "not read", lengths[i]);
        add_int(statement, 1);
        ck_assert_uint_eq(statement->count, 1);
        assert_refused(statement, WEIR_EVALUE, "set 1, parameter 2: more than 1 GiB in a set");
        weir_statement_unref(statement);
    }
}
END_TEST

START_TEST(counts_the_bytes_of_a_set) {
    weir_statement *statement = new_statement("x");
    add_bytes(statement, WEIR_TYPE_TEXT, "ab", 2);
    weir__alloc_fail_at(
        1, true); /* so that the largest that is allowed is seen to be tried, without a gigabyte */
    add_bytes(statement, WEIR_TYPE_TEXT, "not read", ((size_t)1 << 30) - 2);
    ck_assert(statement->broken);
    weir__alloc_fail_at(0, false);
    weir_statement_unref(statement);

    statement = new_statement("x");
    add_bytes(statement, WEIR_TYPE_TEXT, "ab", 2);
    weir_statement_add_set(statement);
    add_bytes(statement, WEIR_TYPE_TEXT, "abc", 3);
    weir_statement_add_set(statement); /* counted anew in each set */
    add_bytes(statement, WEIR_TYPE_TEXT, "a", 1);
    add_bytes(statement, WEIR_TYPE_TEXT, "not read", (size_t)1 << 30);
    assert_refused(statement, WEIR_EVALUE, "set 3, parameter 2: more than 1 GiB in a set");
    weir_statement_unref(statement);
}
END_TEST

START_TEST(refuses_strange_values) {
    weir_statement *statement = new_statement("x");
    weir_value value = {.type = (weir_type)77};
    add_int(statement, 1);
    weir_statement_add(statement, &value);
    assert_refused(statement, WEIR_EVALUE, "set 1, parameter 2: no known type");
    weir_statement_unref(statement);

    statement = new_statement("x");
    weir_statement_add(statement, NULL);
    assert_refused(statement, WEIR_EVALUE, "set 1, parameter 1: no known type");
    weir_statement_unref(statement);

    statement = new_statement("x");
    add_bytes(statement, WEIR_TYPE_BYTES, NULL, 1);
    assert_refused(statement, WEIR_EVALUE, "set 1, parameter 1: a length without data");
    weir_statement_unref(statement);
}
END_TEST

static weir_statement *build_large(void) {
    char text[3000];
    memset(text, 't', sizeof text);
    weir_statement *statement = weir_statement_new("insert into t values ($1, $2)", 29, NULL);
    for (int set = 0; set < 40; set++) {
        if (set > 0) weir_statement_add_set(statement);
        add_int(statement, set);
        add_bytes(statement, WEIR_TYPE_TEXT, text, (size_t)set * 70);
    }
    return statement;
}

START_TEST(fails_at_each_allocation) {
    for (long k = 1;; k++) {
        long before = weir__alloc_live();
        weir__alloc_fail_at(k, false);
        weir_statement *statement = build_large();
        bool has_failed = weir__alloc_count() >= k;
        weir__alloc_fail_at(0, false);
        ck_assert_int_eq(statement == NULL, k == 1);
        if (statement && has_failed) {
            ck_assert(statement->broken);
            ck_assert_ptr_null(weir_statement_place(statement));
            assert_refused(statement, WEIR_ENOMEM, "out of memory while the statement was built");
            size_t count = statement->count;
            add_int(statement, 1);
            weir_statement_add_set(statement);
            ck_assert_uint_eq(statement->count, count);
            weir_statement_no_sets(statement);
            ck_assert_int_eq(weir__statement_check(statement, NULL), WEIR_ENOMEM);
        } else if (statement) {
            assert_fine(statement);
        }
        weir_statement_unref(statement);
        ck_assert_int_eq(weir__alloc_live(), before);
        if (!has_failed) {
            ck_assert_int_gt(k, 10);
            return;
        }
    }
}
END_TEST

START_TEST(new_reports_missing_memory) {
    weir_error error = WEIR_ERROR_INIT;
    weir__alloc_fail_at(1, true);
    ck_assert_ptr_null(weir_statement_new("x", 1, &error));
    ck_assert_int_eq(error.code, WEIR_ENOMEM);
    ck_assert_str_eq(error.message, "out of memory");
}
END_TEST

/* Texts that differ by one byte anywhere, or in length only, must not share a hash. */
START_TEST(hashes_tell_texts_apart) {
    enum { LONGEST = 70 };
    static uint64_t hashes[2 * LONGEST * LONGEST];
    size_t count = 0;
    for (size_t length = 1; length <= LONGEST; length++) {
        char sql[LONGEST + 1];
        memset(sql, ' ', sizeof sql);
        hashes[count++] = weir__statement_hash(sql, length);
        for (size_t at = 0; at < length; at++) {
            sql[at] = 'x';
            hashes[count++] = weir__statement_hash(sql, length);
            sql[at] = ' ';
        }
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) ck_assert(hashes[i] != hashes[j]);
    weir_statement *a = new_statement("select 1"), *b = new_statement("select 1"),
                   *c = new_statement("select 2");
    ck_assert_uint_eq(a->hash, b->hash);
    ck_assert_uint_eq(a->hash, weir__statement_hash("select 1", 8));
    ck_assert_uint_ne(a->hash, c->hash);
    weir_statement_unref(a);
    weir_statement_unref(b);
    weir_statement_unref(c);
}
END_TEST

/* One of many alike: each bit of the hash must be set about as often as not, as a table takes only some of
 * them. */
START_TEST(hashes_spread) {
    int set_bits[64] = {0};
    for (int i = 0; i < 10000; i++) {
        char sql[64];
        int length = snprintf(sql, sizeof sql, "select * from things where id = %d", i);
        uint64_t hash = weir__statement_hash(sql, (size_t)length);
        for (int bit = 0; bit < 64; bit++) set_bits[bit] += (int)(hash >> bit & 1);
    }
    for (int bit = 0; bit < 64; bit++) ck_assert(set_bits[bit] > 4700 && set_bits[bit] < 5300);
}
END_TEST

static void *use_and_release(void *arg) {
    weir_statement *statement = arg;
    for (int i = 0; i < 1000; i++) weir_statement_unref(weir_statement_ref(statement));
    long sum = statement->values[0].as.integer;
    weir_statement_unref(statement);
    return (void *)(intptr_t)sum;
}

START_TEST(is_shared_by_threads) {
    long before = weir__alloc_live();
    weir_statement *statement = new_statement("x");
    add_int(statement, 5);
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_and_release, weir_statement_ref(statement)),
                         0);
    weir_statement_unref(statement);
    for (int i = 0; i < 8; i++) {
        void *sum;
        pthread_join(threads[i], &sum);
        ck_assert_int_eq((intptr_t)sum, 5);
    }
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("statement");
    TCase *tests = tcase_create("statement");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, keeps_text_and_values);
    tcase_add_test(tests, refuses_bad_text);
    tcase_add_test(tests, many_values_and_texts);
    tcase_add_test(tests, counts_sets);
    tcase_add_test(tests, refuses_uneven_sets);
    tcase_add_test(tests, refuses_a_parameter_without_set);
    tcase_add_test(tests, refuses_too_many_parameters);
    tcase_add_test(tests, refuses_too_many_sets);
    tcase_add_test(tests, refuses_too_many_bytes);
    tcase_add_test(tests, counts_the_bytes_of_a_set);
    tcase_add_test(tests, refuses_strange_values);
    tcase_add_test(tests, fails_at_each_allocation);
    tcase_add_test(tests, new_reports_missing_memory);
    tcase_add_test(tests, hashes_tell_texts_apart);
    tcase_add_test(tests, hashes_spread);
    tcase_add_test(tests, is_shared_by_threads);
    return run_suite(suite);
}
