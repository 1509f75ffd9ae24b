
/*
 * What is known while servers are brought in line with server lines.
 * Private to lb_sync.c and lb_sync_move.c.
 */


#ifndef LB_SYNC_H
#define LB_SYNC_H


#include "src/core/balance/lb_roster.h"


typedef struct {
    lb_roster_t      *roster;
    const lb_line_t  *lines;
    uint32_t          n;
    uint32_t         *seen;          /* by slot: its line's number + 1, or 0 */
    bool              keep;          /* what was changed at runtime stays */
    bool              wait;          /* old servers wait for new ones */
    lb_note_pt        note;
    void             *data;
} lb_sync_t;


/*
 * Finds out whether line k, which stands for no slot, is one whose name has
 * another address than before: then its server gets the settings that the
 * one before was given at runtime, and is none if all of the name's servers
 * were deleted.
 */
void lb_sync_move(lb_sync_t *sync, uint32_t k);

/* Whether the slot's server is that of a line and not on its way out. */
bool lb_sync_is_line(lb_roster_t *roster, uint32_t index);

/* The same, or one that was deleted at runtime: it stands for its line. */
bool lb_sync_stands(lb_roster_t *roster, uint32_t index);

/*
 * The line of a server has gone: makes it LB_REPLACED if it has to serve until
 * another one can; false: it is to be removed.
 */
bool lb_sync_waits(lb_sync_t *sync, uint32_t index);

/* Whether it is one of the line's name, whatever its address. */
bool lb_sync_is_host(const lb_identity_t *identity, const lb_line_t *line);


#endif /* LB_SYNC_H */
