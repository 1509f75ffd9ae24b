
/*
 * Large memory, from mmap().  The clean-up of its pool unmaps it from the
 * end, a piece at a time, over as many passes of the event loop as it takes.
 */


#include "src/tbucket/ngx_http_tbucket.h"
#include "src/tbucket/ngx_http_tbucket_pages.h"

#include <sys/mman.h>


/* what fits comes from the pool itself */
#define NGX_HTTP_TBUCKET_PAGES_MIN    65536

#define NGX_HTTP_TBUCKET_PAGES_PIECE  (512 * 1024)

/* us that one pass may take */
#define NGX_HTTP_TBUCKET_PAGES_TIME   500


/* Lies at the front of the memory that it is about. */

typedef struct {
    size_t       size;          /* bytes that are still mapped */
    ngx_event_t  event;
} ngx_http_tbucket_pages_t;


static void ngx_http_tbucket_pages_cleanup(void *data);
static void ngx_http_tbucket_pages_release(ngx_event_t *ev);


void *
ngx_http_tbucket_pages_alloc(ngx_pool_t *pool, size_t size)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_tbucket_pages_t  *pages;

    if (size <= NGX_HTTP_TBUCKET_PAGES_MIN) {
        return ngx_pcalloc(pool, size);
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    size += ngx_pagesize;

    pages = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS,
                 -1, 0);

    if (pages == MAP_FAILED) {
        ngx_log_error(NGX_LOG_ALERT, pool->log, ngx_errno,
                      "mmap(%uz) failed", size);
        return NULL;
    }

    pages->size = size;
    pages->event.handler = ngx_http_tbucket_pages_release;
    pages->event.data = pages;
    pages->event.log = ngx_cycle->log;

    cln->handler = ngx_http_tbucket_pages_cleanup;
    cln->data = pages;

    return (u_char *) pages + ngx_pagesize;
}


static void
ngx_http_tbucket_pages_cleanup(void *data)
{
    ngx_http_tbucket_pages_t  *pages = data;

    ngx_http_tbucket_pages_release(&pages->event);
}


static void
ngx_http_tbucket_pages_release(ngx_event_t *ev)
{
    size_t                     start;
    uint64_t                   until;
    ngx_http_tbucket_pages_t  *pages;

    pages = ev->data;
    until = ngx_http_tbucket_usec() + NGX_HTTP_TBUCKET_PAGES_TIME;

    while (pages->size > NGX_HTTP_TBUCKET_PAGES_PIECE) {

        if (ngx_http_tbucket_usec() > until) {
            ngx_post_event(ev, &ngx_posted_next_events);
            return;
        }

        /* pieces end where pages do */

        start = (pages->size - 1) / NGX_HTTP_TBUCKET_PAGES_PIECE
                * NGX_HTTP_TBUCKET_PAGES_PIECE;

        if (munmap((u_char *) pages + start, pages->size - start) == -1) {
            ngx_log_error(NGX_LOG_ALERT, ev->log, ngx_errno,
                          "munmap(%uz) failed", pages->size - start);
        }

        pages->size = start;
    }

    start = pages->size;

    if (munmap(pages, start) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "munmap(%uz) failed", start);
    }
}
