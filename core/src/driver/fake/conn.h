/* What the files of the fake driver share. */
#ifndef WEIR_DRIVER_FAKE_CONN_H
#define WEIR_DRIVER_FAKE_CONN_H

#include "driver/fake/fake.h"

typedef enum weir__fake_state {
    WEIR__FAKE_NEW,
    WEIR__FAKE_CONNECTING,
    WEIR__FAKE_IDLE,
    WEIR__FAKE_RUNNING,
    WEIR__FAKE_RESETTING,
    WEIR__FAKE_LOST,
    WEIR__FAKE_STOPPING,
    WEIR__FAKE_DOWN,
} weir__fake_state;

#define WEIR__FAKE_LINE 80 /* requests behind the one that runs */

typedef struct weir__fake_conn {
    weir__conn base;
    weir__fake_state state;
    int64_t due;                /* of the armed timer; WEIR__NEVER: none */
    weir__fake_outcome outcome; /* of what runs */
    bool cancelled;             /* the request; at most once */
    bool ending;                /* it will answer to its cancel */
    bool muted, killed;
    weir__request *line[WEIR__FAKE_LINE]; /* what runs next, in order */
    size_t line_count;
    size_t held; /* the last so many of these are not sent yet */
} weir__fake_conn;

/* The statement's answer; NULL: out of memory. */
weir_result *weir__fake_result(weir_statement *statement);
/* Does the text ask for its own outcome? */
void weir__fake_obey(const weir_statement *statement, weir__fake_outcome *outcome);

#endif
