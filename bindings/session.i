/* The concept "session": a lent connection, with or without a transaction. In Lua what waits for nothing is called through
   here (begin, inspect, ready, pipeline); in Python a session is a type of C's, which has all of it: see python.i. */
%include "weirpool/session.h"
