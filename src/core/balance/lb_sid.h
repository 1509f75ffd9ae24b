
/*
 * Finding a server by its id for sticky sessions: the view has an index of
 * open addressing, whose entries are places of servers plus one, 0 for none.
 * It has all servers that are not being removed, usable or not.
 */


#ifndef LB_SID_H
#define LB_SID_H


#include "src/core/balance/lb_roster.h"


/* What stands for an id; not 0. */
uint64_t lb_sid_hash(const void *sid, size_t length);

/* Fills an index of lb_roster_sids() entries.  Mutex. */
void lb_sid_index(lb_roster_t *roster, uint16_t *index);

/*
 * The slot of the next server with that id, or LB_NONE; place is 0 at first,
 * and then what the call before made of it.  Lock-free.
 */
uint32_t lb_sid_find(lb_roster_t *roster, uint64_t sid, uint32_t *place);


#endif /* LB_SID_H */
