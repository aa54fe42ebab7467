/* What is inside a weir_statement, for those who run it: read only, once it has been submitted. */
#ifndef WEIR_BASE_STATEMENT_H
#define WEIR_BASE_STATEMENT_H

#include <stdatomic.h>

#include <weirpool/statement.h>

#define WEIR__STATEMENT_BYTES_MAX ((size_t)1 << 30) /* of SQL, and of all bytes of a set together */
#define WEIR__STATEMENT_PARAMETERS_MAX 65535        /* in a set: the protocol counts them in 16 bits */
#define WEIR__STATEMENT_SETS_MAX ((size_t)1 << 24)
#define WEIR__STATEMENT_INLINE 8 /* values that need no memory of their own */

/* Memory behind the first block, for the bytes of values. */
typedef struct weir__chunk {
    struct weir__chunk *next;
    char data[];
} weir__chunk;

/* What a builder has done wrong. The statement stays as it was before that, so that the place can be
   told from it. */
typedef enum weir__fault {
    WEIR__FAULT_NONE,
    WEIR__FAULT_TYPE,       /* a value of no known type, or none at all */
    WEIR__FAULT_DATA,       /* a length without data */
    WEIR__FAULT_RANGE,      /* a TIME or TIMETZ beyond its day */
    WEIR__FAULT_SHAPE,      /* an array of other dimensions than its items have */
    WEIR__FAULT_DEPTH,      /* nested too deep */
    WEIR__FAULT_LENGTH,     /* more bytes in a set than WEIR__STATEMENT_BYTES_MAX */
    WEIR__FAULT_PARAMETERS, /* more than WEIR__STATEMENT_PARAMETERS_MAX */
    WEIR__FAULT_UNEVEN,     /* a set that is not as large as the first */
    WEIR__FAULT_SETS,       /* more than WEIR__STATEMENT_SETS_MAX */
    WEIR__FAULT_NO_SET,     /* a parameter after weir_statement_no_sets */
} weir__fault;

struct weir_statement {
    atomic_int references;
    bool many;          /* an executemany: weir_statement_add_set or _no_sets was called */
    bool broken;        /* an allocation failed: WEIR_ENOMEM */
    weir__fault fault;  /* the first other thing that went wrong */
    uint64_t hash;      /* weir__statement_hash of the text */
    const char *sql;    /* a NUL follows */
    size_t sql_length;  /* bytes */
    size_t parameters;  /* in each set */
    size_t sets;        /* how often it runs */
    weir_value *values; /* sets times parameters, set by set; a NUL follows the bytes of each (not counted) */
    size_t count;       /* values that are there … */
    size_t capacity;    /* … and that there is room for */
    size_t set_size;    /* values in the current set … */
    size_t set_bytes;   /* … and their bytes */
    char *room;         /* where the next bytes go … */
    size_t room_length; /* … and how many fit there */
    weir__chunk *chunks; /* the newest first */
    size_t chunk_size;   /* of the newest one that was not made for a single value */
    weir_value inline_values[WEIR__STATEMENT_INLINE];
    char memory[]; /* the text, then room for the first bytes */
};

/* The parameters of one set. */
static inline const weir_value *weir__statement_set(const weir_statement *statement, size_t set) {
    return statement->values + set * statement->parameters;
}

/* May it be submitted? WEIR_OK, WEIR_ENOMEM (broken), WEIR_EVALUE, WEIR_EINVAL; the message names the set. */
int weir__statement_check(const weir_statement *statement, weir_error *error);

/* A fast hash, stable within a process; two texts may share one, so compare the texts, too. */
uint64_t weir__statement_hash(const char *sql, size_t length);

#endif
