
/*
 * Changes of a roster's servers at runtime: adding, changing, removing.
 *
 * All of it under the mutex; a build then puts it in force.  A
 * server keeps its id as long as it lives, and no other ever gets it.  One
 * that is removed and has a server line leaves its slot behind (LB_TOMBSTONE),
 * so that a reload with the same line does not bring it back.
 */


#ifndef LB_EDIT_H
#define LB_EDIT_H


#include "src/core/balance/lb_entry.h"
#include "src/core/balance/lb_roster.h"


/* The slot of the server with that id, LB_NONE if there is none. */
uint32_t lb_edit_find(lb_roster_t *roster, uint64_t id);

/* The slot of a server with that address that is not being removed. */
uint32_t lb_edit_find_address(lb_roster_t *roster, const void *address,
    size_t length);

/* Whether there is a slot for another server. */
bool lb_edit_has_room(lb_roster_t *roster, const lb_line_t *line);

/*
 * The slot of a deleted server with the line's address that stands for its
 * own line still: whoever has that address next does so.  LB_NONE: none.
 */
uint32_t lb_edit_takes_over(lb_roster_t *roster, const lb_line_t *line);

/*
 * The slot of a removed server with requests yet that lb_edit_add() gives to
 * the line's server: the removed one is gone then.  LB_NONE: none.
 */
uint32_t lb_edit_returns(lb_roster_t *roster, const lb_line_t *line);

/* Adds a server; LB_NONE: there is no free slot. */
uint32_t lb_edit_add(lb_roster_t *roster, const lb_line_t *line);

/* Sets what the entry has set, but for address, name and id. */
void lb_edit_change(lb_roster_t *roster, uint32_t index,
    const lb_entry_t *entry);

/* Begins to remove a server; lb_roster_sweep() frees its slot in the end. */
void lb_edit_remove(lb_roster_t *roster, uint32_t index);

/*
 * Whether the drain of a server is over at now (Unix s): it has an end, and
 * that has come or the server is idle.  No lock.
 */
bool lb_edit_is_drained(lb_roster_t *roster, uint32_t index, uint64_t now);

/*
 * The first such server at or after the slot *from, which is moved behind it;
 * LB_NONE: there is none.  One load if no drain has an end.  No lock.
 */
uint32_t lb_edit_drained(lb_roster_t *roster, uint64_t now, uint32_t *from);

/*
 * What a state file says of a server: all members, but the name only if it
 * is not the address.
 */
void lb_edit_entry(lb_roster_t *roster, uint32_t index, lb_entry_t *entry);

/*
 * The same of the slot's line, as it was when the servers were last brought
 * in line; false if it has none.
 */
bool lb_edit_line(lb_roster_t *roster, uint32_t index, lb_entry_t *entry);

/* Changes an entry as lb_edit_change() would change its server. */
void lb_edit_merge(lb_entry_t *entry, const lb_entry_t *change);

/* The LB_BACKUP, LB_DISABLED and LB_DRAINING that an entry asks for. */
uint32_t lb_edit_status(const lb_entry_t *entry);


#endif /* LB_EDIT_H */
