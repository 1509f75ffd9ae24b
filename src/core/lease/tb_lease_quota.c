
/*
 * What a node takes of a quota while it is alone.
 */


#include "src/core/lease/tb_lease_quota.h"


uint64_t
tb_lease_part(const tb_lease_t *l, int64_t known, uint64_t share)
{
    int64_t  left;

    if (l->alone != 0) {
        return 0;
    }

    left = l->warm ? l->left : known;
    left += gw_load_seq_cst(&l->refund);

    return left > 0 ? (uint64_t) left / TB_LEASE_ALL * share : 0;
}


int64_t
tb_lease_known(const tb_lease_t *l, int64_t tokens)
{
    int64_t  refund;

    refund = gw_load_seq_cst(&l->refund);

    return l->left + tokens + (refund < 0 ? refund : 0);
}
