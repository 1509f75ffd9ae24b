
/*
 * Making a roster what a state file says.
 */


#ifndef LB_ADOPT_H
#define LB_ADOPT_H


#include "src/core/balance/lb_roster.h"


/*
 * The servers of a state file, and the server lines that these were told
 * from when it was written: a line that has no server there was deleted.
 */

typedef struct {
    const lb_line_t  *servers;
    const lb_line_t  *lines;
    uint32_t          nservers;
    uint32_t          nlines;
    bool              merge;         /* servers added at runtime stay */
} lb_list_t;


/*
 * Makes the servers those of the list, with its settings and ids; servers
 * that are there stay in their slots, with health and counters.  Mutex; then
 * lb_sync_lines() with the lines as they are now, and a build.
 * false: not everything found a slot.
 */
bool lb_adopt_list(lb_roster_t *roster, const lb_list_t *list,
    lb_note_pt note, void *data);

/* How many slots an empty roster needs for the list and those lines. */
uint32_t lb_adopt_need(const lb_list_t *list, const lb_line_t *lines,
    uint32_t n);


#endif /* LB_ADOPT_H */
