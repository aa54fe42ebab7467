#include "port/linux.h" /* what configure links to */
