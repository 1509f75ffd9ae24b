
/*
 * Servers that stand for a name: its addresses, as the last answer to the
 * question for them has told.  They are in the roster beside those of server
 * lines and of the API, and are told by their host, which is the name's.
 */


#ifndef LB_NAME_H
#define LB_NAME_H


#include "src/core/balance/lb_roster.h"


typedef struct {
    lb_line_t          line;         /* host and settings, no address */
    bool               service;      /* records have weight and priority */
} lb_name_t;


typedef struct {
    const lb_name_t   *name;
    const lb_line_t   *lines;        /* one for each address */
    uint32_t           n;
    bool               partial;      /* something is missing: none goes */
} lb_answer_t;


/*
 * Makes the name's line that of one of its addresses.  The weight of a record
 * counts where the name's own is 1; one that is not of the best priority is a
 * backup.
 */
void lb_name_line(const lb_name_t *name, uint32_t weight, bool backup,
    lb_line_t *line);

/*
 * Sees to it that servers of names are those of the names that there are now:
 * what was of a line with the host of a name becomes the name's, a server of a
 * name that has gone is left to lb_sync_lines(), which is to follow, and the
 * others get the name's settings.  As long as a name has no servers yet and no
 * others are usable, those that go serve on.  Mutex.
 */
void lb_name_sync(lb_roster_t *roster, const lb_name_t *names, uint32_t n);

/* Whether the slot has a server of the name that is not being removed. */
bool lb_name_owns(lb_roster_t *roster, uint32_t index, const lb_name_t *name);

/* Whether the name has a server. */
bool lb_name_is_known(lb_roster_t *roster, const lb_name_t *name);

/* The slot of the answer's line, LB_NONE if it has none. */
uint32_t lb_name_find(lb_roster_t *roster, const lb_line_t *line);

/* Whether the answer changes anything.  Mutex. */
bool lb_name_differs(lb_roster_t *roster, const lb_answer_t *answer);

/*
 * Gives servers the settings that the answer has for them, and marks those
 * that it has not as LB_REPLACED: lb_roster_retire() removes them when another
 * one can serve.  Mutex; lines that lb_name_find() does not find are to be
 * added in between, and a build is to follow.
 */
void lb_name_follow(lb_roster_t *roster, const lb_answer_t *answer);


#endif /* LB_NAME_H */
