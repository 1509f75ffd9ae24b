
/*
 * The members of a client: names, what they may be, and their numbers.
 * Private to the reader of clients.
 */


#ifndef TB_CLIENT_MEMBER_H
#define TB_CLIENT_MEMBER_H


#include "src/core/limit/tb_client.h"


#define TB_CLIENT_NAMES_SIZE  80    /* all names, with commas */


typedef struct {
    const char  *name;
    unsigned     bit;
    const char  *allowed;           /* follows "must be" */
} tb_client_member_t;


/* The member of that bit, which there is; of that name, or NULL. */

const tb_client_member_t *tb_client_member(unsigned bit);
const tb_client_member_t *tb_client_member_named(const char *name,
    size_t len);

/* The names of some members, separated by commas. */

void tb_client_names(char buf[TB_CLIENT_NAMES_SIZE], unsigned members);

/*
 * Sets the member of that bit from the text of a JSON number; 0 if it has
 * to be something else, be it out of range.
 */

int tb_client_set_number(tb_client_t *client, unsigned member,
    const char *text, size_t len);


#endif /* TB_CLIENT_MEMBER_H */
