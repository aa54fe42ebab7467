/* The concept "session": a lent connection, with or without a transaction. What waits for nothing is called through here:
   inspect, in Lua also begin, ready and pipeline, which in Python are steps of types of C's: see python.i. */
%include "weirpool/session.h"
