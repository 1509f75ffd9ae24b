
/*
 * The members of a server: names, what they may be, and their values.
 * Private to the reader and writer of servers.
 */


#ifndef LB_ENTRY_MEMBER_H
#define LB_ENTRY_MEMBER_H


#include "src/core/balance/lb_entry.h"


#define LB_ENTRY_NAMES_SIZE  128     /* all names, with commas */


typedef struct {
    const char  *name;
    unsigned     bit;
    const char  *allowed;            /* follows "must be" */
} lb_entry_member_t;


/* the words for lb_entry_state_t */
extern const char *const  lb_entry_states[3];


/* The member of that bit, which there is; of that name, or NULL. */
const lb_entry_member_t *lb_entry_member(unsigned bit);
const lb_entry_member_t *lb_entry_member_named(const char *name, size_t len);

/* Sets the array of that name; false if there is none. */
bool lb_entry_array_named(const char *name, size_t len,
    lb_entry_array_t *array);

/* The names of some members, separated by commas. */
void lb_entry_names(char buf[LB_ENTRY_NAMES_SIZE], unsigned members);

/* Set the member of that bit; false if it has to be something else. */
bool lb_entry_set_number(lb_entry_t *entry, unsigned member,
    const char *text, size_t len);
bool lb_entry_set_string(lb_entry_t *entry, unsigned member,
    const char *text, size_t len);


#endif /* LB_ENTRY_MEMBER_H */
