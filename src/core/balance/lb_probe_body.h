
/*
 * The body of a server's answer.  Of no use to others but the parser.
 */


#ifndef LB_PROBE_BODY_H
#define LB_PROBE_BODY_H


#include "src/core/balance/lb_probe.h"


/*
 * Takes bytes of the body, length of them at most, and says how many; at
 * least one.
 */
size_t lb_probe_body(lb_probe_t *probe, const unsigned char *data,
    size_t length);


#endif /* LB_PROBE_BODY_H */
