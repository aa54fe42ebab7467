/* What ends the main() of each of the tests' programs. */
#ifndef WEIR_TESTS_SUPPORT_SUITE_H
#define WEIR_TESTS_SUPPORT_SUITE_H

#include <check.h>

/* Runs the suite, which is freed, and gives main()'s status. CK_VERBOSITY in the environment has it say more.
 */
int run_suite(Suite *suite);

#endif
