
/*
 * Outliers: a server with a number of errors (statuses of 5xx and failed
 * attempts) within a sliding span of time is ejected, for longer each time.
 */


#ifndef LB_OUTLIER_H
#define LB_OUTLIER_H


#include "src/core/balance/lb_roster.h"


#define LB_EJECTIONS_MAX  10         /* times the first span, at most */


typedef struct {
    uint32_t           errors;       /* lb_rules_t has the same; 0: off */
    uint32_t           max_ejected;  /* per cent of the servers */
    uint64_t           window;       /* ms */
    uint64_t           ejection;     /* ms */
} lb_outlier_t;


/*
 * Counts an error at now (ms).  true: the server has earned an ejection, see
 * lb_outlier_eject().  Lock-free.
 */
bool lb_outlier_error(lb_roster_t *roster, const lb_outlier_t *outlier,
    uint32_t index, uint64_t now);

/*
 * Ejects the server, unless it is out already, or too many others are
 * ejected: then false, and its next error asks again.  The n-th ejection in
 * a row lasts n times as long as the first; the row ends when the server
 * has been in for as long as it was out.  Mutex; then a build.
 */
bool lb_outlier_eject(lb_roster_t *roster, const lb_outlier_t *outlier,
    uint32_t index, uint64_t now);

/*
 * Ends one ejection whose time is over, at or after the slot *from, which
 * is moved behind it.  Returns the slot, LB_NONE if there is none, and then
 * in *next when the next one will be over, LB_NEVER if none is ejected.
 * Told once, whoever asks; then a build.  Lock-free.
 */
uint32_t lb_outlier_return(lb_roster_t *roster, uint64_t now,
    uint32_t *from, uint64_t *next);


#endif /* LB_OUTLIER_H */
