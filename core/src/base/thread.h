/* Helper threads, for calls that block. */
#ifndef WEIR_BASE_THREAD_H
#define WEIR_BASE_THREAD_H

/* A detached thread that blocks all signals, with a stack on which name service modules can put whole files.
   Gives an errno. */
int weir__thread_start(void *(*run)(void *), void *arg);

#endif
