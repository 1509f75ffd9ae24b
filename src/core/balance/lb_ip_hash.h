
/*
 * Addresses of clients to servers as nginx's "ip_hash" has them: the shares of
 * all servers but backups, usable or not, stand one after the other in the
 * order of the lines, and an address is hashed into them, again and again
 * until it meets a server that fits.
 */


#ifndef LB_IP_HASH_H
#define LB_IP_HASH_H


#include "src/core/balance/lb_ketama.h"


/* What an address is hashed by, for lb_ask_t.key. */
uint64_t lb_ip_hash_key(const void *address, size_t length);

/*
 * Makes a ring of one point for each server, max at most: the last place of
 * its share.  spare is room for as many.
 */
void lb_ip_hash_build(lb_ketama_t *ring, lb_roster_t *roster, uint32_t max,
    lb_point_t *spare);

/*
 * The server of the key in ask->ring; in turns if there is no ring, after
 * twenty that do not fit, and of backups.
 */
uint32_t lb_ip_hash(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);


#endif /* LB_IP_HASH_H */
