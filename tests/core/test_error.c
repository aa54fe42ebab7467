/* Errors, their tables, and the classes of SQLSTATEs. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "support_suite.h"

static const char *const pep249[] = {
    "Warning",          "Error",          "InterfaceError", "DatabaseError",    "DataError",
    "OperationalError", "IntegrityError", "InternalError",  "ProgrammingError", "NotSupportedError"};

static void assert_is_init(const weir_error *error) {
    ck_assert_int_eq(error->code, WEIR_OK);
    ck_assert(!error->retryable);
    ck_assert_str_eq(error->sqlstate, "");
    ck_assert_int_eq(error->position, 0);
    ck_assert_int_eq(error->retry_after_ms, -1);
    ck_assert_ptr_null(error->message);
    ck_assert_ptr_null(error->severity);
    ck_assert_ptr_null(error->detail);
    ck_assert_ptr_null(error->hint);
    ck_assert_ptr_null(error->schema);
    ck_assert_ptr_null(error->table);
    ck_assert_ptr_null(error->column);
    ck_assert_ptr_null(error->constraint);
    ck_assert_ptr_null(error->context);
    ck_assert_ptr_null(error->owned);
}

START_TEST(codes_have_names) {
#define ROW(suffix, value, cls, parent, is_retryable, general)                                               \
    {                                                                                                        \
        ck_assert_str_eq(weir_error_name(WEIR_##suffix), #suffix);                                           \
        ck_assert_str_eq(weir_error_class(WEIR_##suffix), #cls);                                             \
        ck_assert_str_eq(weir_error_text(WEIR_##suffix), general);                                           \
        weir_error error = WEIR_ERROR_INIT;                                                                  \
        ck_assert_int_eq(weir__fail(&error, WEIR_##suffix, "%s", "x"), value);                               \
        ck_assert_int_eq(error.retryable, is_retryable);                                                     \
        weir_error_clear(&error);                                                                            \
    }
    WEIR_ERRORS(ROW)
#undef ROW
    static const int strangers[] = {WEIR_OK, WEIR_PENDING, WEIR_EVENT, 1000, -1000};
    for (size_t i = 0; i < 5; i++) {
        ck_assert_ptr_null(weir_error_name(strangers[i]));
        ck_assert_ptr_null(weir_error_class(strangers[i]));
        ck_assert_ptr_nonnull(weir_error_text(strangers[i]));
    }
}
END_TEST

START_TEST(fail_fills_in) {
    long before = weir__alloc_live();
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir__fail(&error, WEIR_ECHECKOUTTIMEOUT, "no connection in %d ms", 30),
                     WEIR_ECHECKOUTTIMEOUT);
    ck_assert_int_eq(error.code, WEIR_ECHECKOUTTIMEOUT);
    ck_assert(error.retryable);
    ck_assert_str_eq(error.message, "no connection in 30 ms");
    ck_assert_int_eq(weir__fail(&error, WEIR_EINVAL, "again: %s", error.message), WEIR_EINVAL);
    ck_assert_str_eq(error.message, "again: no connection in 30 ms");
    ck_assert(!error.retryable);
    weir_error_clear(&error);
    assert_is_init(&error);
    weir_error_clear(&error);
    weir_error_clear(NULL);
    weir_error_free(NULL);
    ck_assert_int_eq(weir__fail(NULL, WEIR_EBUSY, "x"), WEIR_EBUSY);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(fail_clears_what_was_there) {
    weir_error error = WEIR_ERROR_INIT;
    weir__report report = {.sqlstate = "23505", .message = "m", .detail = "d", .position = 4};
    weir__fail_report(&error, &report);
    error.retry_after_ms = 5;
    weir__fail(&error, WEIR_ELOST, "gone");
    ck_assert_str_eq(error.sqlstate, "");
    ck_assert_ptr_null(error.detail);
    ck_assert_int_eq(error.position, 0);
    ck_assert_int_eq(error.retry_after_ms, -1);
    weir_error_clear(&error);
}
END_TEST

static const weir__report full = {
    .severity = "ERROR",
    .sqlstate = "23505",
    .message = "duplicate key",
    .detail = "Key (id)=(1) already exists.",
    .hint = "Take another.",
    .schema = "public",
    .table = "things",
    .column = "id",
    .constraint = "things_pkey",
    .context = "COPY things, line 2",
    .position = 15,
};

static void assert_is_full(const weir_error *error) {
    ck_assert_int_eq(error->code, WEIR_ESERVER);
    ck_assert_str_eq(error->sqlstate, "23505");
    ck_assert_int_eq(error->position, 15);
    ck_assert_str_eq(error->severity, "ERROR");
    ck_assert_str_eq(error->message, "duplicate key");
    ck_assert_str_eq(error->detail, "Key (id)=(1) already exists.");
    ck_assert_str_eq(error->hint, "Take another.");
    ck_assert_str_eq(error->schema, "public");
    ck_assert_str_eq(error->table, "things");
    ck_assert_str_eq(error->column, "id");
    ck_assert_str_eq(error->constraint, "things_pkey");
    ck_assert_str_eq(error->context, "COPY things, line 2");
}

START_TEST(report_is_copied) {
    long before = weir__alloc_live();
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir__fail_report(&error, &full), WEIR_ESERVER);
    assert_is_full(&error);
    ck_assert(!error.retryable);
    ck_assert_ptr_ne(error.message, full.message);
    ck_assert_int_eq(weir__alloc_live(), before + 1);
    ck_assert_int_eq(weir__fail_report(NULL, &full), WEIR_ESERVER);
    weir__report bare = {.sqlstate = "42601", .message = ""};
    weir__fail_report(&error, &bare);
    ck_assert_str_eq(error.message, "");
    ck_assert_ptr_null(error.severity);
    ck_assert_ptr_null(error.constraint);
    weir__report nothing = {.sqlstate = NULL};
    ck_assert_int_eq(weir__fail_report(&error, &nothing), WEIR_ESERVER);
    ck_assert_str_eq(error.sqlstate, "");
    ck_assert_str_eq(error.message, weir_error_text(WEIR_ESERVER));
    weir__report endless = {.sqlstate = "234567890", .message = "m"};
    weir__fail_report(&error, &endless);
    ck_assert_str_eq(error.sqlstate, "23456");
    weir_error_clear(&error);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(report_codes_follow_the_sqlstate) {
    static const struct {
        const char *sqlstate;
        int code;
        bool retryable;
    } cases[] = {
        {"55P03", WEIR_ELOCKTIMEOUT, true}, {"57014", WEIR_ESERVER, false}, {"40001", WEIR_ESERVER, true},
        {"40P01", WEIR_ESERVER, true},      {"40000", WEIR_ESERVER, false}, {"53300", WEIR_ESERVER, true},
        {"57P01", WEIR_ESERVER, true},      {"57P03", WEIR_ESERVER, true},  {"57P05", WEIR_ESERVER, true},
        {"57P06", WEIR_ESERVER, false},     {"08006", WEIR_ESERVER, true},  {"0A000", WEIR_ESERVER, false},
        {"23505", WEIR_ESERVER, false},     {"55006", WEIR_ESERVER, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weir_error error = WEIR_ERROR_INIT;
        weir__report report = {.sqlstate = cases[i].sqlstate, .message = "m"};
        ck_assert_int_eq(weir__fail_report(&error, &report), cases[i].code);
        ck_assert_int_eq(error.code, cases[i].code);
        ck_assert_msg(error.retryable == cases[i].retryable, "%s", cases[i].sqlstate);
        ck_assert_int_eq(weir__fail_report(NULL, &report), cases[i].code);
        weir_error_clear(&error);
    }
}
END_TEST

START_TEST(copies_are_deep) {
    long before = weir__alloc_live();
    weir_error from = WEIR_ERROR_INIT, to = WEIR_ERROR_INIT;
    weir__fail(&to, WEIR_ELOST, "to be replaced");
    weir__fail_report(&from, &full);
    from.retry_after_ms = 250;
    ck_assert_int_eq(weir__error_copy(&to, &from), WEIR_ESERVER);
    ck_assert_int_eq(weir__error_copy(&to, &to), WEIR_ESERVER);
    ck_assert_int_eq(weir__error_copy(NULL, &from), WEIR_ESERVER);
    weir_error_clear(&from);
    assert_is_full(&to);
    ck_assert_int_eq(to.retry_after_ms, 250);
    ck_assert_int_eq(weir__error_copy(&to, &from), WEIR_OK);
    assert_is_init(&to);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(detached_errors_are_freed_by_pointer) {
    long before = weir__alloc_live();
    weir_error error = WEIR_ERROR_INIT;
    weir__fail_report(&error, &full);
    weir_error *moved = weir__error_detach(&error);
    assert_is_init(&error);
    assert_is_full(moved);
    weir_error_free(moved);
    ck_assert_int_eq(weir__alloc_live(), before);
    moved = weir__error_detach(NULL);
    ck_assert_int_eq(moved->code, WEIR_EINTERNAL);
    weir_error_free(moved);
}
END_TEST

START_TEST(errors_need_no_memory) {
    long before = weir__alloc_live();
    weir_error error = WEIR_ERROR_INIT, copy = WEIR_ERROR_INIT;
    weir__alloc_fail_at(1, true);
    ck_assert_int_eq(weir__fail(&error, WEIR_ENOMEM, "%s", "x"), WEIR_ENOMEM);
    ck_assert_str_eq(error.message, "out of memory");
    ck_assert(error.retryable);
    ck_assert_int_eq(weir__error_copy(&copy, &error), WEIR_ENOMEM);
    ck_assert_str_eq(copy.message, "out of memory");
    ck_assert_int_eq(weir__fail_report(&error, &full), WEIR_ESERVER);
    ck_assert_str_eq(error.sqlstate, "23505");
    ck_assert_int_eq(error.position, 15);
    ck_assert_str_eq(error.message, weir_error_text(WEIR_ESERVER));
    ck_assert_ptr_null(error.detail);
    ck_assert_ptr_null(error.owned);
    weir_error *moved = weir__error_detach(&error);
    assert_is_init(&error);
    for (int i = 0; i < 2; i++) { /* it is shared: neither clearing nor freeing it may change it */
        ck_assert_int_eq(moved->code, WEIR_ENOMEM);
        ck_assert(!moved->retryable); /* as it was */
        ck_assert_int_eq(moved->retry_after_ms, -1);
        ck_assert_str_eq(moved->message, "out of memory");
        weir_error_clear(moved);
        weir_error_free(moved);
    }
    weir__alloc_fail_at(0, false);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

START_TEST(detach_without_memory_frees_the_texts) {
    long before = weir__alloc_live();
    weir_error error = WEIR_ERROR_INIT;
    weir__fail_report(&error, &full);
    weir__alloc_fail_at(1, false);
    weir_error *moved = weir__error_detach(&error);
    ck_assert_int_eq(moved->code, WEIR_ENOMEM);
    ck_assert_int_eq(weir__alloc_live(), before);
    static const int codes[] = {WEIR_ELOST, WEIR_EOUTCOME}; /* the one may be made again, the other may not */
    for (int i = 0; i < 2; i++) {
        weir__fail(&error, codes[i], "it");
        weir__alloc_fail_at(1, false);
        moved = weir__error_detach(&error);
        weir__alloc_fail_at(0, false);
        ck_assert_int_eq(moved->code, WEIR_ENOMEM);
        ck_assert_int_eq(moved->retryable, i == 0);
        weir_error_free(moved);
    }
}
END_TEST

static size_t read_table(weir_error_info **rows) {
    size_t count = 0;
    weir_error_info row;
    while (weir_error_table(count, &row)) count++;
    *rows = calloc(count, sizeof row);
    for (size_t i = 0; i < count; i++) ck_assert(weir_error_table(i, &(*rows)[i]));
    return count;
}

static bool is_pep249(const char *name) {
    for (size_t i = 0; i < sizeof pep249 / sizeof pep249[0]; i++)
        if (strcmp(pep249[i], name) == 0) return true;
    return false;
}

/* The rows of WEIR_ERRORS may be classes of PEP 249 themselves; those of SQLSTATEs may not. */
START_TEST(table_is_consistent) {
    weir_error_info *rows;
    size_t count = read_table(&rows), of_codes = 0, of_sqlstates = 0;
    for (size_t i = 0; i < count; i++) {
        ck_assert_ptr_nonnull(rows[i].name);
        ck_assert_ptr_nonnull(rows[i].parent);
        bool has_parent = is_pep249(rows[i].parent);
        for (size_t j = 0; j < count; j++) {
            has_parent = has_parent || strcmp(rows[j].name, rows[i].parent) == 0;
            if (i == j) continue;
            ck_assert_msg(strcmp(rows[i].name, rows[j].name) != 0, "%s is there twice", rows[i].name);
        }
        ck_assert_msg(has_parent, "%s has no parent %s", rows[i].name, rows[i].parent);
        if (!rows[i].sqlstate) {
            ck_assert_uint_eq(of_sqlstates, 0);
            ck_assert_int_eq(rows[i].code, (int)++of_codes);
            ck_assert_str_eq(rows[i].name, weir_error_class(rows[i].code));
        } else {
            ck_assert_int_eq(rows[i].code, WEIR_ESERVER);
            ck_assert_uint_eq(strlen(rows[i].sqlstate), 5);
            ck_assert(!is_pep249(rows[i].name));
            if (of_sqlstates++)
                ck_assert_str_lt(rows[i - 1].sqlstate, rows[i].sqlstate); /* so none is there twice */
        }
    }
    ck_assert_uint_ge(of_codes, 26);
    ck_assert_uint_gt(of_sqlstates, 200);
    free(rows);
}
END_TEST

START_TEST(table_ends) {
    weir_error_info row = {7, "x", "y", "z", NULL};
    ck_assert(!weir_error_table(SIZE_MAX, &row));
    ck_assert_int_eq(row.code, 7);
}
END_TEST

START_TEST(sqlstates_are_found) {
    weir_error_info row;
    for (size_t i = 0; weir_error_table(i, &row); i++) {
        if (!row.sqlstate) continue;
        const weir_error_info *found = weir__sqlstate_find(row.sqlstate);
        ck_assert_ptr_nonnull(found);
        ck_assert_str_eq(found->name, row.name);
        ck_assert_str_eq(weir_sqlstate_class(row.sqlstate), row.name);
    }
    ck_assert_ptr_null(weir__sqlstate_find("23599"));
    ck_assert_ptr_null(weir__sqlstate_find("00000"));
    ck_assert_ptr_null(weir__sqlstate_find("ZZZZZ"));
}
END_TEST

START_TEST(sqlstate_classes) {
    static const char *const cases[][2] = {
        {"23505", "UniqueViolation"},
        {"40001", "SerializationFailure"},
        {"42601", "SyntaxError"},
        {"55P03", "LockNotAvailable"},
        {"XX000", "InternalError_"},
        {"P0001", "RaiseException"},
        {"42000", "SyntaxErrorOrAccessRuleViolation"},
        {"53200", "ServerOutOfMemory"},
        {"38002", "ModifyingSqlDataNotPermittedExt"},
        {"2F002", "ModifyingSqlDataNotPermitted"},
        {"23999", "IntegrityError"},
        {"42XYZ", "ProgrammingError"},
        {"08999", "OperationalError"},
        {"0A999", "NotSupportedError"},
        {"22999", "DataError"},
        {"XX999", "InternalError"},
        {"25P04", "InternalError"},
        {"ZZ000", "DatabaseError"},
        {"00000", "DatabaseError"},
        {"01000", "DatabaseError"},
        {"2350", "DatabaseError"},
        {"235051", "DatabaseError"},
        {"", "DatabaseError"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_str_eq(weir_sqlstate_class(cases[i][0]), cases[i][1]);
    ck_assert_str_eq(weir_sqlstate_class(NULL), "DatabaseError");
    ck_assert_str_eq(weir__sqlstate_find("55P03")->parent, "LockTimeout");
    ck_assert_str_eq(weir__sqlstate_find("P0001")->parent, "DatabaseError");
    ck_assert_str_eq(weir__sqlstate_find("23505")->parent, "IntegrityError");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("error");
    TCase *tests = tcase_create("error");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, codes_have_names);
    tcase_add_test(tests, fail_fills_in);
    tcase_add_test(tests, fail_clears_what_was_there);
    tcase_add_test(tests, report_is_copied);
    tcase_add_test(tests, report_codes_follow_the_sqlstate);
    tcase_add_test(tests, copies_are_deep);
    tcase_add_test(tests, detached_errors_are_freed_by_pointer);
    tcase_add_test(tests, errors_need_no_memory);
    tcase_add_test(tests, detach_without_memory_frees_the_texts);
    tcase_add_test(tests, table_is_consistent);
    tcase_add_test(tests, table_ends);
    tcase_add_test(tests, sqlstates_are_found);
    tcase_add_test(tests, sqlstate_classes);
    return run_suite(suite);
}
