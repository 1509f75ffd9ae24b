
/*
 * Places for requests in flight in calls to Redis: what one bucket's part of a
 * call says, and what comes of the answer.
 */


#ifndef NGX_HTTP_TBUCKET_GLOBAL_PLACES_H
#define NGX_HTTP_TBUCKET_GLOBAL_PLACES_H


#include "src/tbucket/global/ngx_http_tbucket_global.h"


/* The limit, of limits in force. */

#define ngx_http_tbucket_places_limit(limits)                                \
    ((uint32_t) tb_limits_rate(limits))

/* The limit has become a smaller one: what is beyond it goes at once. */

void ngx_http_tbucket_global_places_trim(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, tb_word_t *word,
    uint32_t limit);

/*
 * Fills in the ask of an entry for which the lease has been claimed, once those
 * places are taken out of the word that are not needed; need: µtok.
 */

void ngx_http_tbucket_global_places_plan(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_lease_t *l, ngx_http_tbucket_entry_t *e, uint64_t need);

/* The answer to it is in; returns µtok that were granted. */

uint64_t ngx_http_tbucket_global_places_answered(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_entry_t *e, tb_lease_answer_t *answer);

/* The ask of a bucket of which the node has nothing any more. */

void ngx_http_tbucket_global_places_none(ngx_http_tbucket_entry_t *e,
    tb_limits_t limits);


#endif /* NGX_HTTP_TBUCKET_GLOBAL_PLACES_H */
