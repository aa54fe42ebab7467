/* The concept "session": a lent connection, with or without a transaction. */
%include "weirpool/session.h"
