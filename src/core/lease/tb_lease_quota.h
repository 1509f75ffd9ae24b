
/*
 * Quotas of many machines (tb_lease.h) while there are no leases.
 */


#ifndef TB_LEASE_QUOTA_H
#define TB_LEASE_QUOTA_H


#include "src/core/lease/tb_lease.h"


/*
 * What the word of a quota's bucket takes of what there is in Redis, µtok,
 * when it begins to be alone with that share; known: what there is as far as
 * this node remembers, where no call has been answered.  The caller subtracts
 * it from "refund" when it is added to the word, and sets "alone".
 */

uint64_t tb_lease_part(const tb_lease_t *l, int64_t known, uint64_t share);


/*
 * What is left of it on all nodes, as far as a node that loses the lease knows,
 * µtok: what was given back and has not been reported is not there.
 */

int64_t tb_lease_known(const tb_lease_t *l, int64_t tokens);


#endif /* TB_LEASE_QUOTA_H */
