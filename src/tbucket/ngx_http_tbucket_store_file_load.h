
/*
 * Reading the files of a zone: what its parts share.  Private to
 * ngx_http_tbucket_store_file_load.c and _read.c.
 */


#ifndef NGX_HTTP_TBUCKET_STORE_FILE_LOAD_H
#define NGX_HTTP_TBUCKET_STORE_FILE_LOAD_H


#include "src/tbucket/ngx_http_tbucket_store_file.h"
#include "src/core/tb_snapshot.h"


typedef struct {
    ngx_http_tbucket_file_zone_t   *fz;
    ngx_log_t                      *log;
    ngx_http_tbucket_file_error_t   error;

    ngx_uint_t                      live;      /* memory holds clients */
    ngx_uint_t                      apply;     /* else only looking */
    ngx_uint_t                      wrong;     /* entries */
    ngx_uint_t                      twice;
    ngx_uint_t                      lost;      /* no room for them */
    ngx_uint_t                      patched;   /* only tokens from now on */
    ngx_uint_t                      ntokens;   /* set by a journal */
    uint64_t                        since;     /* those later than that */
    uint64_t                        now;       /* ms since 1970 */

    /* hashes of all clients that were set, in no order */
    uint64_t                       *seen;
    size_t                          nseen;
    size_t                          room;

    /* numbers of the journals that there are, in order */
    ngx_array_t                     journals;  /* uint64_t */
    uint64_t                        first;     /* the first that counts */
    uint64_t                        last;      /* above all in use */

    tb_snapshot_t                   snapshot;
    char                            path[NGX_MAX_PATH];
    char                            aside[NGX_MAX_PATH];
} ngx_http_tbucket_file_loader_t;


/*
 * NGX_OK: the clients of the file are in memory; NGX_DECLINED: there is no
 * file; NGX_ABORT: there was one, but what memory holds is better; NGX_ERROR.
 */

ngx_int_t ngx_http_tbucket_file_read_clients(
    ngx_http_tbucket_file_loader_t *l);

/* Which journals there are: l->journals and l->last. */

ngx_int_t ngx_http_tbucket_file_find_journals(
    ngx_http_tbucket_file_loader_t *l, ngx_pool_t *pool);

/*
 * Makes the changes of all journals from l->first on; or, with l->patched,
 * sets only the tokens that are in them.
 */

ngx_int_t ngx_http_tbucket_file_read_journals(
    ngx_http_tbucket_file_loader_t *l);

/* Removes the clients that memory holds and the files do not. */

void ngx_http_tbucket_file_remove_others(
    ngx_http_tbucket_file_loader_t *l);

/* Sets the file at l->path aside and logs it, with what that means. */

void ngx_http_tbucket_file_bad(ngx_http_tbucket_file_loader_t *l,
    const char *what, const char *then);


#endif /* NGX_HTTP_TBUCKET_STORE_FILE_LOAD_H */
