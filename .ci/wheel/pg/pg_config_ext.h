/* The part of pg_config.h that libpq's public headers include. */
#define PG_INT64_TYPE long int
