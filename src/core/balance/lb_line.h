
/*
 * What a server line, or a change at runtime, says of a server.
 */


#ifndef LB_LINE_H
#define LB_LINE_H


#include <stdbool.h>
#include <stdint.h>


/*
 * Ids are counted from 1.  What a person has written into a state file may
 * be larger, up to the end of the range: the counter leaves that alone.
 */
#define LB_ID_COUNTED    (UINT64_C(1) << 52)


typedef struct {
    const char        *host;         /* as written, at most LB_HOST_MAX */
    const char        *name;         /* address as text, LB_NAME_MAX */
    const void        *address;      /* binary, LB_ADDRESS_MAX */
    const char        *sid;          /* its id, at most LB_SID_MAX, or NULL */
    uint32_t           sid_length;
    uint32_t           host_length;
    uint32_t           name_length;
    uint32_t           address_length;
    uint32_t           weight;
    uint32_t           max_conns;
    uint32_t           max_fails;
    uint32_t           status;       /* LB_BACKUP, LB_DISABLED or 0 */
    bool               pending;      /* if new: down until a check passes */
    bool               resolved;     /* it is of a name, see lb_name.h */
    uint64_t           id;           /* if new: its id, 0: the next one */
    uint64_t           fail_timeout; /* ms */
    uint64_t           drain_until;  /* Unix s, if it is draining; 0: ever */
} lb_line_t;


#endif /* LB_LINE_H */
