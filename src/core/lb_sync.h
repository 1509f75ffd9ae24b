
/*
 * How servers come into a roster, for the parts of the core that bring them.
 */


#ifndef LB_SYNC_H
#define LB_SYNC_H


#include "lb_roster.h"


/*
 * The first free slot from the given one on, which is moved behind it;
 * LB_NONE if there is none.  Mutex.
 */
uint32_t lb_sync_slot(lb_roster_t *roster, uint32_t *from);

/* Makes the server of a line in a free slot.  Mutex. */
void lb_sync_add(lb_roster_t *roster, uint32_t index, const lb_line_t *line,
    uint32_t rank);


#endif /* LB_SYNC_H */
