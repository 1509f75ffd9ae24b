
/*
 * Registered clients of a zone: registry and table changed together.  Not
 * here: JSON, HTTP, and where clients are kept for good.
 */


#ifndef NGX_HTTP_TBUCKET_CLIENTS_H
#define NGX_HTTP_TBUCKET_CLIENTS_H


#include "src/tbucket/ngx_http_tbucket.h"
#include "src/core/limit/tb_client.h"
#include "src/core/limit/tb_registry.h"


#define NGX_HTTP_TBUCKET_TOKENS_KEEP  INT64_MIN


typedef enum {
    NGX_HTTP_TBUCKET_CREATED = 0,
    NGX_HTTP_TBUCKET_UPDATED,
    NGX_HTTP_TBUCKET_REMOVED,
    NGX_HTTP_TBUCKET_EXISTS,          /* not created: it is there already */
    NGX_HTTP_TBUCKET_MISSING,         /* not changed: there is no such one */
    NGX_HTTP_TBUCKET_NO_ROOM,         /* nothing changed: the zone is full */
    NGX_HTTP_TBUCKET_NO_PLAN,         /* the same of plans */
    NGX_HTTP_TBUCKET_IN_USE,          /* not removed: clients have the plan */
    NGX_HTTP_TBUCKET_PARTIAL,         /* not changed: it has no limits of its
                                         own that the rest could be of */
    NGX_HTTP_TBUCKET_TOKENS_RANGE,    /* more tokens than the capacity */
    NGX_HTTP_TBUCKET_SUPERSEDED,      /* nothing changed: see the zone's */
    NGX_HTTP_TBUCKET_MALFORMED,       /* nothing changed: the body is wrong */
    NGX_HTTP_TBUCKET_UNREAD,          /* nothing changed: it is unreadable */
    NGX_HTTP_TBUCKET_STORE_DOWN,      /* nothing changed, nothing sent */
    NGX_HTTP_TBUCKET_STORE_UNKNOWN    /* sent, and no answer came */
} ngx_http_tbucket_outcome_e;


/* A client as it is now. */

typedef struct {
    tb_registry_entry_t         entry;     /* id, hash; limits: what it is
                                              given (tb_client_own()), or
                                              those of its slot */
    tb_limits_t                 limits;    /* that it has, blocked or not */
    int64_t                     tokens;    /* µtok, live */
    int64_t                     held;      /* of these by this node */
    size_t                      plan_len;
    char                        plan[TB_PLAN_NAME_MAX];
    unsigned                    registered:1;
} ngx_http_tbucket_client_t;


/*
 * Makes id (1 .. 255 bytes) a client that is given that, or changes what one is
 * given; tokens as they are, cut to the capacity, or as given (µtok) in full.
 * Returns CREATED, UPDATED or NO_ROOM.  The caller holds the zone's mutex.
 */

ngx_http_tbucket_outcome_e ngx_http_tbucket_client_set(
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id, const tb_client_t *given,
    int64_t tokens);

/* What a registered client is given, as members.  Mutex held. */

void ngx_http_tbucket_client_given(ngx_http_tbucket_zone_t *zone,
    tb_limits_t own, tb_client_t *given);

/* The limits that go with that, blocked or not.  Takes no lock. */

tb_limits_t ngx_http_tbucket_given_limits(ngx_http_tbucket_zone_t *zone,
    const tb_client_t *given);

/*
 * REMOVED or MISSING; the bucket stays with its tokens, unless it is full
 * and so says nothing.  Mutex held.
 */

ngx_http_tbucket_outcome_e ngx_http_tbucket_client_remove(
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id);

/*
 * Sets the tokens of a client that is not registered and has a live bucket to
 * those of given or, if it names none, so that the bucket is full; places that
 * are taken stay so.  Adds to given the bucket's plan and what the tokens are
 * then, which, where the zone has a source, are to be set there.  Returns
 * UPDATED, TOKENS_RANGE or MISSING.  Mutex held.
 */

ngx_http_tbucket_outcome_e ngx_http_tbucket_client_refill(
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id, tb_client_t *given);

/*
 * A registered client, or one of the others that has a live bucket; NGX_OK
 * or NGX_DECLINED: then client is what it would be with a full one.  Takes
 * the mutex.
 */

ngx_int_t ngx_http_tbucket_client_get(ngx_http_tbucket_zone_t *zone,
    ngx_str_t *id, ngx_http_tbucket_client_t *client);

/*
 * Up to *n registered clients whose hash is above *after, in its order; *n
 * is set to their number and *after to where the next page begins.  Returns
 * NGX_OK, NGX_DONE at the end, or NGX_AGAIN when the bound on work was met
 * first.  Takes the mutex.
 */

ngx_int_t ngx_http_tbucket_client_list(ngx_http_tbucket_zone_t *zone,
    uint64_t *after, ngx_http_tbucket_client_t *clients, ngx_uint_t *n);

/*
 * The id of the registered client whose hash.lo is lo, put into GW_ID_MAX bytes
 * at id->data: NGX_OK or NGX_DECLINED.  Takes the mutex.
 */

ngx_int_t ngx_http_tbucket_client_of_hash(ngx_http_tbucket_zone_t *zone,
    uint64_t lo, ngx_str_t *id);

/*
 * Brings registry and table in line for the client that a worker was at
 * when it died, if one did.  Costs one load if not; else takes the mutex.
 * For the refill ticker.
 */

void ngx_http_tbucket_clients_mend(ngx_http_tbucket_zone_t *zone);


#endif /* NGX_HTTP_TBUCKET_CLIENTS_H */
