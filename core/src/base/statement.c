#include "base/statement.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

#define FIRST_ROOM 96 /* bytes for values in the first block: some short texts */
#define FIRST_CHUNK 1024
#define LAST_CHUNK 65536 /* chunks double up to here */

__extension__ typedef unsigned __int128 wide;

static inline uint64_t mix(uint64_t a, uint64_t b) {
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load(const char *bytes, size_t length) {
    uint64_t word = 0;
    memcpy(&word, bytes, length);
    return word;
}

uint64_t weir__statement_hash(const char *sql, size_t length) {
    const uint64_t k0 = UINT64_C(0xa0761d6478bd642f), k1 = UINT64_C(0xe7037ed1a0b428db);
    uint64_t hash = length ^ k0;
    size_t left = length;
    for (; left > 16; left -= 16, sql += 16) hash = mix(load(sql, 8) ^ k1, load(sql + 8, 8) ^ hash);
    /* The last 1 to 16 bytes in two words, which overlap; the length is in the hash already. */
    uint64_t a = 0, b = 0;
    if (left >= 8) {
        a = load(sql, 8);
        b = load(sql + left - 8, 8);
    } else if (left >= 4) {
        a = load(sql, 4);
        b = load(sql + left - 4, 4);
    } else if (left > 0) {
        a = load(sql, 1) | load(sql + left / 2, 1) << 8 | load(sql + left - 1, 1) << 16;
    }
    return mix(k0 ^ mix(a ^ k1, b ^ hash), k1);
}

weir_statement *weir_statement_new(const char *sql, size_t length, weir_error *error) {
    if (!sql || !length) {
        weir__fail(error, WEIR_EINVAL, "the statement is empty");
        return NULL;
    }
    if (length > WEIR__STATEMENT_BYTES_MAX) {
        weir__fail(error, WEIR_EINVAL, "the statement's text is longer than 1 GiB");
        return NULL;
    }
    if (memchr(sql, '\0', length)) {
        weir__fail(error, WEIR_EINVAL, "the statement's text contains a NUL");
        return NULL;
    }
    weir_statement *statement = weir__malloc(sizeof *statement + length + 1 + FIRST_ROOM);
    if (!statement) {
        weir__fail(error, WEIR_ENOMEM, "out of memory");
        return NULL;
    }
    /* The inline values are written before they are read, and clearing them would cost more than the rest. */
    memset(statement, 0, offsetof(weir_statement, inline_values));
    atomic_init(&statement->references, 1);
    memcpy(statement->memory, sql, length);
    statement->memory[length] = '\0';
    statement->sql = statement->memory;
    statement->sql_length = length;
    statement->hash = weir__statement_hash(sql, length);
    statement->sets = 1;
    statement->values = statement->inline_values;
    statement->capacity = WEIR__STATEMENT_INLINE;
    statement->room = statement->memory + length + 1;
    statement->room_length = FIRST_ROOM;
    return statement;
}

weir_statement *weir_statement_ref(weir_statement *statement) {
    atomic_fetch_add_explicit(&statement->references, 1, memory_order_relaxed);
    return statement;
}

static void free_chunks(weir_statement *statement) {
    while (statement->chunks) {
        weir__chunk *next = statement->chunks->next;
        weir__free(statement->chunks);
        statement->chunks = next;
    }
}

void weir_statement_unref(weir_statement *statement) {
    if (!statement) return;
    /* The only holder cannot be raced: no locked instruction for the statement that nobody shares. */
    if (atomic_load_explicit(&statement->references, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&statement->references, 1, memory_order_acq_rel) != 1)
        return;
    free_chunks(statement);
    if (statement->values != statement->inline_values) weir__free(statement->values);
    weir__free(statement);
}

static bool has_fault(const weir_statement *statement) {
    return statement->broken || statement->fault != WEIR__FAULT_NONE;
}

static weir__chunk *new_chunk(weir_statement *statement, size_t size) {
    weir__chunk *chunk = weir__malloc(sizeof *chunk + size);
    if (!chunk) return NULL;
    chunk->next = statement->chunks;
    statement->chunks = chunk;
    return chunk;
}

/* Bytes that live as long as the statement; NULL when memory is short. */
static char *take_room(weir_statement *statement, size_t size) {
    if (size > statement->room_length) {
        size_t next = statement->chunk_size ? statement->chunk_size * 2 : FIRST_CHUNK;
        if (next > LAST_CHUNK) next = LAST_CHUNK;
        /* A large value gets memory of its own, so that the rest of the current room is not lost. */
        bool alone = size > next / 4;
        weir__chunk *chunk = new_chunk(statement, alone ? size : next);
        if (!chunk) return NULL;
        if (alone) return chunk->data;
        statement->chunk_size = next;
        statement->room = chunk->data;
        statement->room_length = next;
    }
    char *room = statement->room;
    statement->room += size;
    statement->room_length -= size;
    return room;
}

static bool grow_values(weir_statement *statement) {
    bool is_inline = statement->values == statement->inline_values;
    size_t capacity, size;
    if (__builtin_mul_overflow(statement->capacity, 2, &capacity) ||
        __builtin_mul_overflow(capacity, sizeof(weir_value), &size))
        return false;
    weir_value *values = weir__realloc(is_inline ? NULL : statement->values, size);
    if (!values) return false;
    if (is_inline) memcpy(values, statement->inline_values, sizeof statement->inline_values);
    statement->values = values;
    statement->capacity = capacity;
    return true;
}

/* Makes a value's bytes the statement's own. False: broken or with a fault now. */
static bool own_bytes(weir_statement *statement, weir_value *value) {
    const char *data = value->as.bytes.data;
    size_t length = value->as.bytes.length;
    if (length > WEIR__STATEMENT_BYTES_MAX - statement->set_bytes) {
        statement->fault = WEIR__FAULT_LENGTH;
        return false;
    }
    if (!data && length) {
        statement->fault = WEIR__FAULT_DATA;
        return false;
    }
    char *room = take_room(statement, length + 1);
    if (!room) {
        statement->broken = true;
        return false;
    }
    if (length) memcpy(room, data, length);
    room[length] = '\0';
    value->as.bytes.data = room;
    statement->set_bytes += length;
    return true;
}

/* A time of day must lie within a day, and a clock's distance from UTC must be less than one. */
static bool is_time(const weir_value *value) {
    if (value->type == WEIR_TYPE_TIME) return value->as.time >= 0 && value->as.time <= WEIR_DAY_US;
    if (value->type != WEIR_TYPE_TIMETZ) return true;
    return value->as.timetz.time >= 0 && value->as.timetz.time <= WEIR_DAY_US &&
           value->as.timetz.east > -86400 && value->as.timetz.east < 86400;
}

static bool own_value(weir_statement *statement, weir_value *value, int depth);

static bool is_array(const weir_array *array) {
    if (!array || array->dimensions < 0 || array->dimensions > WEIR_ARRAY_DIMENSIONS) return false;
    size_t count = array->dimensions > 0;
    for (int i = 0; i < array->dimensions; i++) {
        int32_t last;
        if (array->lengths[i] < 1 || __builtin_mul_overflow(count, (size_t)array->lengths[i], &count) ||
            __builtin_add_overflow(array->lower[i], array->lengths[i] - 1, &last))
            return false;
    }
    return count == array->count && (!count || array->items);
}

static void *take_aligned(weir_statement *statement, size_t size) {
    const size_t unit = _Alignof(max_align_t);
    char *room = take_room(statement, size + unit - 1);
    return room ? room + (unit - (uintptr_t)room % unit) % unit : NULL;
}

static bool fail_with(weir_statement *statement, weir__fault fault) {
    statement->fault = fault;
    return false;
}

/* A copy of the items, the statement's own; NULL: broken or with a fault now. */
static weir_value *own_items(weir_statement *statement, const weir_value *given, size_t count, int depth,
                             bool of_array) {
    /* An item has a length of four bytes on the wire, at the least. */
    if (count > (WEIR__STATEMENT_BYTES_MAX - statement->set_bytes) / 4) {
        statement->fault = WEIR__FAULT_LENGTH;
        return NULL;
    }
    statement->set_bytes += count * 4;
    weir_value *items = take_aligned(statement, count * sizeof *items);
    if (!items) statement->broken = true;
    for (size_t i = 0; items && i < count; i++) {
        items[i] = given[i];
        if (of_array && items[i].type == WEIR_TYPE_ARRAY) statement->fault = WEIR__FAULT_TYPE;
        if (statement->fault != WEIR__FAULT_NONE || !own_value(statement, &items[i], depth + 1)) return NULL;
    }
    return items;
}

static bool own_array(weir_statement *statement, weir_value *value, int depth) {
    const weir_array *given = value->as.array;
    if (!is_array(given)) return fail_with(statement, WEIR__FAULT_SHAPE);
    weir_array *array = take_aligned(statement, sizeof *array);
    if (!array) {
        statement->broken = true;
        return false;
    }
    *array = *given;
    array->items = own_items(statement, given->items, given->count, depth, true);
    value->as.array = array;
    return array->items != NULL;
}

static bool own_range(weir_statement *statement, weir_value *value, int depth) {
    const weir_range *given = value->as.range;
    if (!given) return fail_with(statement, WEIR__FAULT_TYPE);
    weir_range *range = take_aligned(statement, sizeof *range);
    if (!range) {
        statement->broken = true;
        return false;
    }
    *range = *given;
    value->as.range = range;
    if (range->empty || range->lower.type == WEIR_TYPE_NULL) range->lower_inc = false;
    if (range->empty || range->upper.type == WEIR_TYPE_NULL) range->upper_inc = false;
    if (range->empty) range->lower = range->upper = (weir_value){.type = WEIR_TYPE_NULL};
    return own_value(statement, &range->lower, depth + 1) && own_value(statement, &range->upper, depth + 1);
}

/* Whether the items are what that kind of list may have. */
static bool is_list(const weir_value *value) {
    const weir_list *list = value->as.list;
    if (!list || (list->count && !list->items)) return false;
    if (value->type == WEIR_TYPE_MAP && list->count % 2) return false;
    for (size_t i = 0; i < list->count; i++) {
        weir_type type = list->items[i].type;
        if (value->type == WEIR_TYPE_MULTIRANGE && type != WEIR_TYPE_RANGE) return false;
        if (value->type == WEIR_TYPE_MAP && type != WEIR_TYPE_TEXT && (i % 2 == 0 || type != WEIR_TYPE_NULL))
            return false;
    }
    return true;
}

static bool own_list(weir_statement *statement, weir_value *value, int depth) {
    if (!is_list(value)) return fail_with(statement, WEIR__FAULT_TYPE);
    weir_list *list = take_aligned(statement, sizeof *list);
    if (!list) {
        statement->broken = true;
        return false;
    }
    *list = (weir_list){.count = value->as.list->count};
    list->items = own_items(statement, value->as.list->items, list->count, depth, false);
    value->as.list = list;
    return list->items != NULL;
}

static bool own_value(weir_statement *statement, weir_value *value, int depth) {
    if (depth > WEIR_VALUE_DEPTH) return fail_with(statement, WEIR__FAULT_DEPTH);
    switch (value->type) {
    case WEIR_TYPE_NULL:
    case WEIR_TYPE_BOOL:
    case WEIR_TYPE_INT:
    case WEIR_TYPE_FLOAT:
    case WEIR_TYPE_INTERVAL:
    case WEIR_TYPE_UUID:
        return true;
    case WEIR_TYPE_DATE:
    case WEIR_TYPE_TIME:
    case WEIR_TYPE_TIMETZ:
    case WEIR_TYPE_TIMESTAMP:
    case WEIR_TYPE_TIMESTAMPTZ:
        return is_time(value) || fail_with(statement, WEIR__FAULT_RANGE);
    case WEIR_TYPE_NUMERIC:
    case WEIR_TYPE_TEXT:
    case WEIR_TYPE_BYTES:
    case WEIR_TYPE_INET:
    case WEIR_TYPE_CIDR:
    case WEIR_TYPE_JSON:
    case WEIR_TYPE_RAW:
        return own_bytes(statement, value);
    case WEIR_TYPE_ARRAY:
        return own_array(statement, value, depth);
    case WEIR_TYPE_RANGE:
        return own_range(statement, value, depth);
    case WEIR_TYPE_MULTIRANGE:
    case WEIR_TYPE_RECORD:
    case WEIR_TYPE_MAP:
        return own_list(statement, value, depth);
    }
    return fail_with(statement, WEIR__FAULT_TYPE);
}

static weir__fault fault_before(const weir_statement *statement, const weir_value *value) {
    if (!value) return WEIR__FAULT_TYPE;
    if (statement->sets == 0) return WEIR__FAULT_NO_SET;
    return statement->set_size == WEIR__STATEMENT_PARAMETERS_MAX ? WEIR__FAULT_PARAMETERS : WEIR__FAULT_NONE;
}

void weir_statement_add(weir_statement *statement, const weir_value *value) {
    if (!statement || has_fault(statement)) return;
    statement->fault = fault_before(statement, value);
    if (statement->fault != WEIR__FAULT_NONE) return;
    if (statement->count == statement->capacity && !grow_values(statement)) {
        statement->broken = true;
        return;
    }
    weir_value *slot = &statement->values[statement->count];
    if (value != slot) *slot = *value;
    if (!own_value(statement, slot, 0)) return;
    statement->count++;
    statement->set_size++;
    if (statement->sets == 1) statement->parameters = statement->set_size;
}

weir_value *weir_statement_place(weir_statement *statement) {
    if (!statement || has_fault(statement)) return NULL;
    if (statement->count == statement->capacity && !grow_values(statement)) return NULL;
    return &statement->values[statement->count];
}

static bool is_uneven(const weir_statement *statement) {
    return statement->sets > 0 && statement->set_size != statement->parameters;
}

void weir_statement_add_set(weir_statement *statement) {
    if (!statement) return;
    statement->many = true;
    if (has_fault(statement)) return;
    if (is_uneven(statement)) {
        statement->fault = WEIR__FAULT_UNEVEN;
    } else if (statement->sets == WEIR__STATEMENT_SETS_MAX) {
        statement->fault = WEIR__FAULT_SETS;
    } else {
        statement->sets++;
        statement->set_size = statement->set_bytes = 0;
    }
}

void weir_statement_no_sets(weir_statement *statement) {
    if (!statement) return;
    statement->many = true;
    statement->fault = WEIR__FAULT_NONE;
    statement->sets = statement->parameters = statement->count = 0;
    statement->set_size = statement->set_bytes = 0;
}

static int report_fault(const weir_statement *statement, weir__fault fault, weir_error *error) {
    size_t set = statement->sets, parameter = statement->set_size + 1;
    switch (fault) {
    case WEIR__FAULT_NONE:
        break;
    case WEIR__FAULT_TYPE:
        return weir__fail(error, WEIR_EVALUE, "set %zu, parameter %zu: no known type", set, parameter);
    case WEIR__FAULT_DATA:
        return weir__fail(error, WEIR_EVALUE, "set %zu, parameter %zu: a length without data", set,
                          parameter);
    case WEIR__FAULT_RANGE:
        return weir__fail(error, WEIR_EVALUE, "set %zu, parameter %zu: no time of day", set, parameter);
    case WEIR__FAULT_SHAPE:
        return weir__fail(error, WEIR_EVALUE,
                          "set %zu, parameter %zu: an array whose dimensions are not its items'", set,
                          parameter);
    case WEIR__FAULT_DEPTH:
        return weir__fail(error, WEIR_EVALUE, "set %zu, parameter %zu: nested more than %d levels deep", set,
                          parameter, WEIR_VALUE_DEPTH);
    case WEIR__FAULT_LENGTH:
        return weir__fail(error, WEIR_EVALUE, "set %zu, parameter %zu: more than 1 GiB in a set", set,
                          parameter);
    case WEIR__FAULT_PARAMETERS:
        return weir__fail(error, WEIR_EINVAL, "set %zu has more than %d parameters", set,
                          WEIR__STATEMENT_PARAMETERS_MAX);
    case WEIR__FAULT_UNEVEN:
        return weir__fail(error, WEIR_EINVAL, "set %zu has %zu parameters, but set 1 has %zu", set,
                          statement->set_size, statement->parameters);
    case WEIR__FAULT_SETS:
        return weir__fail(error, WEIR_EINVAL, "more than %zu sets of parameters", WEIR__STATEMENT_SETS_MAX);
    case WEIR__FAULT_NO_SET:
        return weir__fail(error, WEIR_EINVAL, "a parameter was added before the first set");
    }
    return WEIR_OK;
}

int weir__statement_check(const weir_statement *statement, weir_error *error) {
    if (statement->broken)
        return weir__fail(error, WEIR_ENOMEM, "out of memory while the statement was built");
    weir__fault fault = statement->fault;
    if (fault == WEIR__FAULT_NONE && is_uneven(statement)) fault = WEIR__FAULT_UNEVEN;
    return report_fault(statement, fault, error);
}
