/* Doubles and their texts, whatever the host program's locale: it may write a comma. */
#ifndef WEIR_BASE_NUMBER_H
#define WEIR_BASE_NUMBER_H

#include <weirpool/export.h>

/* The shortest text of 15 to 17 digits that reads back as the value, "NaN", "Infinity" or "-Infinity"; `out`
 * has room for 40 bytes. */
void weir__print_double(double value, char *out);
/* False: the text is none of these, nor another decimal. */
bool weir__scan_double(const char *text, double *out);

#endif
