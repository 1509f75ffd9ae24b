
/*
 * Bringing a roster's servers in line with the server lines of a
 * configuration.
 */


#ifndef LB_SYNC_H
#define LB_SYNC_H


#include "src/core/balance/lb_roster.h"


/*
 * Makes the servers those of the lines.  Health, counters and what was changed
 * at runtime stay, unless a setting of the line is new; with a state file
 * even then, and without the line.  Servers are matched by host and address,
 * and by host if there is another address.  Mutex; then a build.
 * false: not every server found a slot; the others are in.
 */
bool lb_sync_lines(lb_roster_t *roster, const lb_line_t *lines, uint32_t n,
    lb_note_pt note, void *data);

/*
 * How many slots the roster would need for its servers and those of the
 * lines; seen is working space for capacity slots.  No lock.
 */
uint32_t lb_sync_need(lb_roster_t *roster, const lb_line_t *lines,
    uint32_t n, uint32_t *seen);


#endif /* LB_SYNC_H */
