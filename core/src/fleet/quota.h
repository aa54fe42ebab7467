/*
 * What one pod may have of what all of them share: a rule without clock, database or pool.
 *
 * A share that has become smaller counts at once, since others wait for what is given back. One that has
 * become larger counts only when it is the least of three in a row: pods come in groups, and who took all
 * that is free at the first of them would have to close it again at the next.
 */
#ifndef WEIR_FLEET_QUOTA_H
#define WEIR_FLEET_QUOTA_H

#include <stdbool.h>

typedef struct weir__quota {
    bool known;  /* a share has come */
    int target;  /* the share that counts */
    int seen[2]; /* the last two */
    int granted; /* what is written down for this pod, which may have that many and no more */
    int strays;  /* connections of these that only the server knows of any more */
} weir__quota;

/* The share of the moment; `further`: it is another look, and not only a more recent one. `first`: what a pod
 * that has just begun may trust in, as somebody has told how many there will be; 1: nobody has. 0: there is
 * no place for this pod; it begins again. */
void weir__quota_share(weir__quota *quota, int share, bool further, int first);
/* What is to be written down for it while it holds that many: what it has is never less. */
int weir__quota_ask(const weir__quota *quota, int held);
/* Connections that it may have, and open. */
int weir__quota_ceiling(const weir__quota *quota);
/* Nothing is to be asked for, nor given back. */
bool weir__quota_settled(const weir__quota *quota, int held);

#endif
