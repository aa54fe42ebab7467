#include <weirpool/value.h>

const char *weir_type_name(weir_type type) {
    switch (type) {
#define NAME(suffix, number, name)                                                                           \
    case WEIR_TYPE_##suffix:                                                                                 \
        return name;
        WEIR_TYPES(NAME)
#undef NAME
    }
    return NULL;
}
