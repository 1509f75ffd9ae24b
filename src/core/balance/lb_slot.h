
/*
 * Slots of a roster, for the parts of the core that bring servers into it.
 * All of it under the mutex.
 */


#ifndef LB_SLOT_H
#define LB_SLOT_H


#include "src/core/balance/lb_roster.h"


/* what lines and changes at runtime say; the state of a server */
#define LB_STATE         (LB_DISABLED | LB_DRAINING)
#define LB_WANTED        (LB_BACKUP | LB_STATE)

/* Working space of the roster, a zero for each slot. */
uint32_t *lb_slot_space(lb_roster_t *roster);

/*
 * The first free slot from the given one on, which is moved behind it;
 * LB_NONE if there is none.
 */
uint32_t lb_slot_next(lb_roster_t *roster, uint32_t *from);

/*
 * The slot of a removed server that is busy yet and was that of the line,
 * else the first free one: requests of both go to the same address.
 */
uint32_t lb_slot_take(lb_roster_t *roster, const lb_line_t *line,
    uint32_t *from);

/* The first of them only, or LB_NONE. */
uint32_t lb_slot_removed(lb_roster_t *roster, const lb_line_t *line);

/* Whether the slot's server is that of a line and not on its way out. */
bool lb_slot_is_line(lb_roster_t *roster, uint32_t index);

/* The same, or one that was deleted at runtime: it stands for its line. */
bool lb_slot_stands(lb_roster_t *roster, uint32_t index);

/* Makes the server of a line in the slot. */
void lb_slot_add(lb_roster_t *roster, uint32_t index, const lb_line_t *line,
    uint32_t rank);

/* Makes a free slot that of a line whose server was deleted. */
void lb_slot_set_tombstone(lb_roster_t *roster, uint32_t index,
    const lb_line_t *line);

/* The line of a deleted server has gone, too: frees its slot. */
void lb_slot_clear_tombstone(lb_roster_t *roster, uint32_t index);

/* Notes an id that somebody else has given, so that it is not given again. */
void lb_slot_id(lb_roster_t *roster, uint64_t id);

/* Notes what the line of a slot's server says. */
void lb_slot_line(lb_roster_t *roster, uint32_t index, const lb_line_t *line);

/* Sets a server's settings to those of a line. */
void lb_slot_set(lb_server_t *server, const lb_line_t *line);

/*
 * Sets them to those of its line as that is now: one that was changed at
 * runtime stays until the line says something new, or, if such changes are
 * kept, until it is changed again.
 */
void lb_slot_follow(lb_roster_t *roster, uint32_t index,
    const lb_line_t *line);

/* Whether a server's settings are not those of its line. */
bool lb_slot_is_changed(lb_server_t *server, const lb_identity_t *identity);

/* Puts those settings into a line that differ from the server's own line. */
void lb_slot_keep(lb_server_t *server, const lb_identity_t *identity,
    lb_line_t *line);

/* Puts those into a line in which it does not differ from the one before. */
void lb_slot_differ(lb_server_t *server, const lb_identity_t *identity,
    lb_line_t *line);


#endif /* LB_SLOT_H */
