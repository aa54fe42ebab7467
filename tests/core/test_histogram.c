/* Histograms: the cells, the buckets at their bounds, the percentiles; and the table of metrics. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "metrics/histogram.h"
#include "support_suite.h"

#define BOUNDS (WEIR_HISTOGRAM_BUCKETS - 1)
#define ENDS (WEIR__HISTOGRAM_CELLS - 1)

static const int64_t bounds[BOUNDS] = {1000000,   5000000,    10000000,   50000000,   100000000,
                                       500000000, 1000000000, 5000000000, 10000000000};

/* The upper ends of all cells but the last, in ns, made in the plain way: 2^(n/8), and the bounds. */
static long double ends[ENDS];

static int ascending(const void *a, const void *b) {
    long double x = *(const long double *)a, y = *(const long double *)b;
    return (x > y) - (x < y);
}

static void make_ends(void) {
    size_t n = 0;
    for (int eighth = 80; eighth <= 296; eighth++) ends[n++] = exp2l(eighth / 8.0L);
    for (int i = 0; i < BOUNDS; i++) ends[n++] = (long double)bounds[i];
    ck_assert_uint_eq(n, ENDS);
    qsort(ends, ENDS, sizeof ends[0], ascending);
}

static size_t expected_cell(int64_t ns) {
    size_t cell = 0;
    while (cell < ENDS && (long double)ns > ends[cell]) cell++;
    return cell;
}

static size_t expected_bucket(int64_t ns) {
    size_t bucket = 0;
    while (bucket < BOUNDS && ns > bounds[bucket]) bucket++;
    return bucket;
}

static void assert_recorded(int64_t ns) {
    weir__histogram histogram = {0};
    weir_histogram out;
    weir__histogram_record(&histogram, ns);
    ck_assert_msg(histogram.cells[expected_cell(ns)] == 1, "%lld ns", (long long)ns);
    weir__histogram_read(&histogram, &out);
    ck_assert_msg(out.buckets[expected_bucket(ns)] == 1, "%lld ns", (long long)ns);
    ck_assert_uint_eq(out.count, 1);
    ck_assert_double_eq(out.max, (double)ns / 1e9);
    ck_assert_double_eq(out.sum, (double)ns / 1e9);
}

/* Log-uniform in [1 µs, 137 s[. */
static int64_t draw(weir__rng *rng) {
    double uniform = (double)(weir__random(rng) >> 11) * 0x1p-53;
    return (int64_t)(1024 * exp2(uniform * 27));
}

START_TEST(cells_are_those_of_scale_3) {
    weir__rng rng = {42};
    make_ends();
    for (size_t i = 0; i < ENDS; i++)
        for (int64_t ns = (int64_t)ends[i] - 2; ns <= (int64_t)ends[i] + 2; ns++) assert_recorded(ns);
    for (int i = 0; i < 20000; i++) assert_recorded(draw(&rng));
    for (int shift = 0; shift < 63; shift++) assert_recorded(INT64_C(1) << shift);
    assert_recorded(0);
    assert_recorded(1);
    assert_recorded(INT64_MAX);
}
END_TEST

START_TEST(buckets_are_exact) {
    weir__histogram histogram = {0};
    weir_histogram out;
    for (int i = 0; i < BOUNDS; i++) {
        ck_assert_double_eq(weir_histogram_bound((size_t)i), (double)bounds[i] / 1e9);
        for (int64_t ns = bounds[i] - 1; ns <= bounds[i] + 1; ns++) weir__histogram_record(&histogram, ns);
    }
    ck_assert(isinf(weir_histogram_bound(BOUNDS)) && isinf(weir_histogram_bound(1000)));
    weir__histogram_read(&histogram, &out);
    /* bound - 1 ns and bound lie in the bound's bucket, bound + 1 ns in the next: `le` takes its end in. */
    ck_assert_uint_eq(out.buckets[0], 2);
    for (int i = 1; i < BOUNDS; i++) ck_assert_uint_eq(out.buckets[i], 3);
    ck_assert_uint_eq(out.buckets[BOUNDS], 1);
    ck_assert_uint_eq(out.count, 27);
}
END_TEST

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void assert_near(double seconds, int64_t exact_ns) {
    double exact = (double)exact_ns / 1e9;
    ck_assert_msg(fabs(seconds - exact) <= 0.045 * exact, "%.9g s instead of %.9g s", seconds, exact);
}

/* Nearest rank: the smallest observation that at least so many per mille do not exceed. Sorts the sample. */
static void assert_percentiles(int64_t *sample, size_t count) {
    weir__histogram histogram = {0};
    weir_histogram out;
    double sum = 0;
    for (size_t i = 0; i < count; i++) weir__histogram_record(&histogram, sample[i]);
    for (size_t i = 0; i < count; i++) sum += (double)sample[i] / 1e9;
    weir__histogram_read(&histogram, &out);
    qsort(sample, count, sizeof *sample, by_size);
    assert_near(out.p50, sample[(count * 500 + 999) / 1000 - 1]);
    assert_near(out.p90, sample[(count * 900 + 999) / 1000 - 1]);
    assert_near(out.p99, sample[(count * 990 + 999) / 1000 - 1]);
    assert_near(out.p999, sample[(count * 999 + 999) / 1000 - 1]);
    ck_assert_double_eq(out.max, (double)sample[count - 1] / 1e9);
    ck_assert(out.p999 <= out.max);
    ck_assert_double_eq_tol(out.sum, sum, sum * 1e-9);
}

enum { SAMPLE = 20000 };
static int64_t sample[SAMPLE];

START_TEST(percentiles_of_spread_data) {
    weir__rng rng = {7};
    static const size_t counts[] = {1, 2, 3, 9, 10, 11, 99, 100, 101, 999, 1000, 1001, SAMPLE};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (size_t j = 0; j < counts[i]; j++) sample[j] = draw(&rng);
        assert_percentiles(sample, counts[i]);
    }
    for (size_t j = 0; j < SAMPLE; j++)
        sample[j] = j % 10 ? 2000000 + (int64_t)j : 3000000000; /* two modes */
    assert_percentiles(sample, SAMPLE);
}
END_TEST

START_TEST(percentiles_of_constant_data) {
    weir__rng rng = {11};
    for (int i = 0; i < 2000; i++) {
        int64_t ns = i < BOUNDS ? bounds[i] : i < 2 * BOUNDS ? bounds[i - BOUNDS] + 1 : draw(&rng);
        for (int j = 0; j < 20; j++) sample[j] = ns;
        assert_percentiles(sample, 20);
    }
}
END_TEST

START_TEST(percentiles_at_the_ends) {
    weir__histogram histogram = {0};
    weir_histogram out;
    for (int i = 0; i < 10; i++) weir__histogram_record(&histogram, 200000000000 + i);
    weir__histogram_read(&histogram, &out);
    ck_assert_double_eq(out.p50, 200.000000009); /* above the last cell's lower end only max is known */
    memset(&histogram, 0, sizeof histogram);
    weir__histogram_record(&histogram, 3);
    weir__histogram_read(&histogram, &out);
    ck_assert_double_eq(out.p999, 3e-9);
    weir__histogram_record(&histogram, 5000);
    weir__histogram_read(&histogram, &out);
    ck_assert_double_eq(out.p50, 1.024e-6);
}
END_TEST

START_TEST(empty_and_absurd) {
    static const weir_histogram nothing;
    weir__histogram histogram = {0};
    weir_histogram out;
    memset(&out, 0xff, sizeof out);
    weir__histogram_read(&histogram, &out);
    ck_assert_mem_eq(&out, &nothing, sizeof out);
    weir__histogram_record(&histogram, -5);
    weir__histogram_record(&histogram, INT64_MIN);
    ck_assert_uint_eq(histogram.cells[0], 2);
    ck_assert_int_eq(histogram.sum, 0);
    weir__histogram_read(&histogram, &out);
    ck_assert_uint_eq(out.count, 2);
    ck_assert_double_eq(out.p50, 0);
    for (int i = 0; i < 3; i++) weir__histogram_record(&histogram, INT64_MAX);
    ck_assert_int_eq(histogram.sum, INT64_MAX);
    weir__histogram_read(&histogram, &out);
    ck_assert_double_eq(out.p999, (double)INT64_MAX / 1e9);
}
END_TEST

START_TEST(merge_is_recording_there) {
    weir__histogram parts[2] = {0}, all = {0}, merged = {0};
    weir__rng rng = {3};
    for (int i = 0; i < 5000; i++) {
        int64_t ns = draw(&rng);
        weir__histogram_record(&parts[i % 3 == 0], ns);
        weir__histogram_record(&all, ns);
    }
    for (int i = 0; i < 2; i++) weir__histogram_merge(&merged, &parts[i]);
    ck_assert_mem_eq(&merged, &all, sizeof all);
    weir__histogram_record(&all, INT64_MAX);
    weir__histogram_merge(&merged, &all);
    weir__histogram_merge(&merged, &all);
    ck_assert_int_eq(merged.sum, INT64_MAX);
    ck_assert_int_eq(merged.max, INT64_MAX);
    ck_assert_uint_eq(merged.count, 15002);
}
END_TEST

#define ONE(name, text) +1
START_TEST(table_of_metrics) {
    weir_snapshot snapshot = {0};
    weir_metric_info info;
    size_t rows = 0, kinds[3] = {0}, next = offsetof(weir_snapshot, size);
    static const size_t sizes[3] = {sizeof(int64_t), sizeof(uint64_t), sizeof(weir_histogram)};
    snapshot.waiting = 11;
    snapshot.queries_failed = 12;
    snapshot.query.p99 = 13;
    for (; weir_metric_table(rows, &info); rows++) {
        ck_assert_uint_eq(info.offset, next); /* the table leaves out no field */
        ck_assert_uint_gt(strlen(info.text), 10);
        kinds[info.kind]++;
        next += sizes[info.kind];
        const char *field = (const char *)&snapshot + info.offset;
        if (strcmp(info.name, "waiting") == 0) ck_assert_int_eq(*(const int64_t *)field, 11);
        if (strcmp(info.name, "queries_failed") == 0) ck_assert_uint_eq(*(const uint64_t *)field, 12);
        if (strcmp(info.name, "query") == 0) ck_assert_double_eq(((const weir_histogram *)field)->p99, 13);
    }
    ck_assert_uint_eq(next, sizeof snapshot);
    ck_assert_uint_eq(kinds[WEIR_METRIC_GAUGE], 0 WEIR_GAUGES(ONE));
    ck_assert_uint_eq(kinds[WEIR_METRIC_COUNTER], 0 WEIR_COUNTERS(ONE));
    ck_assert_uint_eq(kinds[WEIR_METRIC_LATENCY], 0 WEIR_LATENCIES(ONE));
    ck_assert_str_eq(info.name, "health_check"); /* a row past the end leaves *out alone */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("histogram");
    TCase *tests = tcase_create("histogram");
    tcase_add_test(tests, cells_are_those_of_scale_3);
    tcase_add_test(tests, buckets_are_exact);
    tcase_add_test(tests, percentiles_of_spread_data);
    tcase_add_test(tests, percentiles_of_constant_data);
    tcase_add_test(tests, percentiles_at_the_ends);
    tcase_add_test(tests, empty_and_absurd);
    tcase_add_test(tests, merge_is_recording_there);
    tcase_add_test(tests, table_of_metrics);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
