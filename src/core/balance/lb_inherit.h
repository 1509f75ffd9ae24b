
/*
 * Carrying servers over to a new roster, as when the zone of an upstream has
 * changed its size.
 */


#ifndef LB_INHERIT_H
#define LB_INHERIT_H


#include "src/core/balance/lb_roster.h"


/*
 * Copies the servers of the old roster, which may be in use, into a new and
 * empty one that no one else uses yet, as they are; lb_sync_lines() then
 * does what a reload does.  false: not every server found a slot.
 */
bool lb_inherit_servers(lb_roster_t *roster, lb_roster_t *old);


#endif /* LB_INHERIT_H */
