#include "support_suite.h"

#include <stdlib.h>

/* Check gives a test four seconds unless it is told otherwise: on a busy machine some work longer. */
__attribute__((constructor)) static void bound_tests(void) { setenv("CK_DEFAULT_TIMEOUT", "60", 0); }

int run_suite(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
