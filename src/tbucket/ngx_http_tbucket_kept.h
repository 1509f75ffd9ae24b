
/*
 * What the processes of one nginx share about a zone's files.  Beside the
 * zone in shared memory, so that a reload keeps it and a new zone begins
 * with none of it.
 */


#ifndef NGX_HTTP_TBUCKET_KEPT_H
#define NGX_HTTP_TBUCKET_KEPT_H


#include <ngx_config.h>
#include <ngx_core.h>

#include <stdatomic.h>

#include "src/common/ngx_gw_lease.h"


/* By what a file is known again, as long as nobody wrote to it. */

typedef struct {
    uint64_t                     inode;    /* 0: there was no file */
    uint64_t                     size;
    uint64_t                     sec;      /* of the last modification */
    uint64_t                     nsec;
} ngx_http_tbucket_print_t;


/*
 * Fields are written under the lock for writers, which is a lock on the
 * store's lock file, so that it ends with its holder; atomic ones are read
 * without it.
 */

typedef struct {
    /* who saves; by compare-and-swap */
    _Alignas(64) ngx_gw_lease_t  lease;

    /* the folder that the rest is about; 0: none yet */
    uint64_t                     device;
    uint64_t                     inode;

    /* random, in the header of every journal that we begin */
    uint64_t                     owner;

    _Atomic uint64_t             journal;  /* the number of ours; 0: none */
    uint64_t                     base;     /* the first that may exist */
    uint64_t                     end;      /* bytes of ours that count */
    uint32_t                     dirty;    /* there may be bytes beyond */

    _Atomic uint32_t             records;  /* not in the file of clients */
    _Atomic uint32_t             failed;   /* the journal is not to be used */
    _Atomic uint32_t             edited;   /* a person wrote to the file of
                                              clients; not read yet */
    _Atomic uint32_t             fenced;   /* another nginx took over */
    ngx_http_tbucket_print_t     clients;

    /* when somebody last waited for a lock, ms since 1970; anybody */
    _Atomic uint64_t             waited;

    /* ms since 1970, and entries of the file: the lock for token states */
    _Atomic uint64_t             patched;  /* last tokens in the journal */
    uint64_t                     saved_at;
    uint64_t                     saved;
} ngx_http_tbucket_kept_t;


#endif /* NGX_HTTP_TBUCKET_KEPT_H */
