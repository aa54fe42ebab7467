#include "fleet/quota.h"

static int least(int a, int b) { return a < b ? a : b; }

void weir__quota_share(weir__quota *quota, int share, bool further, int first) {
    if (!share) {
        *quota = (weir__quota){.known = false};
        return;
    }
    if (!quota->known) {
        quota->known = true;
        quota->target = quota->seen[0] = quota->seen[1] = least(share, first > 1 ? first : 1);
    }
    int steady = least(share, least(quota->seen[0], quota->seen[1]));
    if (further) {
        quota->seen[1] = quota->seen[0];
        quota->seen[0] = share;
    } else {
        quota->seen[0] = least(share, quota->seen[0]);
    }
    if (share < quota->target || (further && steady > quota->target)) quota->target = steady;
}

int weir__quota_ask(const weir__quota *quota, int held) {
    return quota->target > held ? quota->target : held > 1 ? held : 1;
}

int weir__quota_ceiling(const weir__quota *quota) {
    int left = quota->granted - quota->strays;
    return left > 1 ? least(quota->target, left) : least(quota->target, 1);
}

bool weir__quota_settled(const weir__quota *quota, int held) {
    return quota->known && quota->granted == weir__quota_ask(quota, held) && quota->granted == quota->target;
}
