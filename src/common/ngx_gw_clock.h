
/*
 * How long something takes, where nginx's time of this pass of the event loop
 * is not enough, and in processes and threads that have no event loop.
 */


#ifndef NGX_GW_CLOCK_H
#define NGX_GW_CLOCK_H


#include <ngx_config.h>
#include <ngx_core.h>


/* us since some time in the past; steps of the wall clock do not matter. */

static ngx_inline uint64_t
ngx_gw_usec(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}


#endif /* NGX_GW_CLOCK_H */
