
/*
 * Where the tokens of a zone come from, if not from time.  A zone of scope=node
 * has no source; one of scope=global has one that lends them, out of a bucket
 * that all nodes share.
 */


#ifndef NGX_HTTP_TBUCKET_SOURCE_H
#define NGX_HTTP_TBUCKET_SOURCE_H


#include "src/redis/ngx_gw_redis_sync.h"
#include "src/tbucket/ngx_http_tbucket.h"


/* A question about what a client has beside what is in this node's bucket. */

struct ngx_http_tbucket_ask_s {
    void                      (*done)(ngx_http_tbucket_ask_t *ask);
    int64_t                     elsewhere;   /* µtok, at most; < 0: debt */
    unsigned                    known:1;     /* there has been an answer */
};


typedef struct {
    uint64_t                    asked;       /* µtok */
    uint64_t                    granted;     /* µtok */
    uint64_t                    returned;    /* µtok */
    uint64_t                    calls;
    uint64_t                    degraded;    /* ms on a share of the limits */
    uint64_t                    nodes;
    ngx_uint_t                  alone;       /* it has only a share now */
} ngx_http_tbucket_lending_t;


struct ngx_http_tbucket_source_s {

    /* bytes that it needs in shared memory beside each slot of the table */
    size_t      beside;

    /* for a new zone, before and after the table; NGX_OK or NGX_ERROR */
    ngx_int_t   (*create_zone)(ngx_http_tbucket_zone_t *zone);
    ngx_int_t   (*init_zone)(ngx_http_tbucket_zone_t *zone);

    /*
     * The decision about a charge, or what it would be.  Where the verdict of
     * a take is TB_REFUSE already, the bucket has been seen and has too
     * little.  NGX_OK: verdict and result are set; NGX_AGAIN: the request is
     * to wait.  It does not without a ctx.
     */
    ngx_int_t   (*take)(ngx_http_tbucket_charge_t *charge,
                    ngx_http_tbucket_ctx_t *ctx);
    ngx_int_t   (*peek)(ngx_http_tbucket_charge_t *charge,
                    ngx_http_tbucket_ctx_t *ctx);

    /*
     * Has the access phase of the request go on when there are news of the
     * bucket of ctx->charge, or when it has waited for long enough.  Returns
     * NGX_AGAIN or a status.
     */
    ngx_int_t   (*wait)(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx);

    /*
     * Charges µtok more, into debt, whatever the bucket holds; returns what
     * that came to, and sets result.  Gives back µtok of what was taken, up to
     * the capacity.
     */
    uint64_t    (*charge)(ngx_http_tbucket_charge_t *charge, uint64_t utok,
                    tb_result_t *result);
    void        (*give)(ngx_http_tbucket_charge_t *charge, uint64_t utok);

    /*
     * Takes the cost of a request that waits for its turn, into debt: sets
     * verdict and result, or returns 0.  Later, ms until it is to be looked
     * at again; 0: its turn has come.
     */
    ngx_uint_t  (*lend)(ngx_http_tbucket_charge_t *charge);
    uint64_t    (*turn)(ngx_http_tbucket_charge_t *charge);

    /* what is left in a charge's bucket on all nodes, as last seen; µtok */
    uint64_t    (*left)(ngx_http_tbucket_charge_t *charge);

    /* ms until a refused request may come again, or _NEVER */
    uint64_t    (*retry)(ngx_http_tbucket_charge_t *charge);

    /* the ticker's part */
    void        (*refill)(ngx_http_tbucket_zone_t *zone);

    /* a client's tokens on all nodes, as last seen; bucket: as it was read */
    int64_t     (*tokens)(ngx_http_tbucket_zone_t *zone, const tb_hash_t *h,
                    const tb_result_t *bucket);

    /*
     * Asks for a client's tokens beside those that this node has.  NGX_OK:
     * done() is called later, within the store's timeout, unless forget() has
     * come first; NGX_ERROR: it is not, there is nobody to ask.
     */
    ngx_int_t   (*ask)(ngx_http_tbucket_zone_t *zone,
                    ngx_http_tbucket_ask_t *ask, ngx_pool_t *pool,
                    ngx_str_t *id, tb_limits_t limits);
    void        (*forget)(ngx_http_tbucket_zone_t *zone,
                    ngx_http_tbucket_ask_t *ask);

    /*
     * The rest of a write that is safe and has been applied: sets tokens, if
     * it is one about tokens, and says when that is done.
     */
    void        (*write)(ngx_http_tbucket_write_t *write);

    /* for metrics */
    void        (*figures)(ngx_http_tbucket_zone_t *zone,
                    ngx_http_tbucket_lending_t *lending);

    /*
     * What the store does that serves the source, for each shard of a zone:
     * it is there, before workers are; a worker has got or lost its
     * connection, or the lead; it goes; the master has a connection, for the
     * last time, which may block.  NGX_OK or NGX_ERROR.
     */
    ngx_int_t   (*create)(ngx_http_tbucket_rzone_t *rz,
                    ngx_cycle_t *cycle);
    void        (*joined)(ngx_http_tbucket_rzone_t *rz);
    void        (*stop)(ngx_http_tbucket_rzone_t *rz);
    ngx_int_t   (*finish)(ngx_gw_redis_sync_t *sync,
                    ngx_http_tbucket_rzone_t *rz);

    /* what was lent by a shard is another store's; mutex held */
    void        (*anew)(ngx_http_tbucket_zone_t *zone, ngx_uint_t shard);

    /* the key of its hashes, which nobody is to see; TB_SECRET_SIZE bytes */
    uint8_t    *(*secret)(ngx_http_tbucket_zone_t *zone);
};


/* What a client is told is left, µtok; looked up only where it is told. */

static ngx_inline uint64_t
ngx_http_tbucket_left(ngx_http_tbucket_charge_t *c)
{
    int64_t  left;

    if (c->zone->source != NULL) {
        return c->zone->source->left(c);
    }

    left = c->result.left - tb_limits_lowest(c->result.limits);

    return left > 0 ? (uint64_t) left : 0;
}


#endif /* NGX_HTTP_TBUCKET_SOURCE_H */
