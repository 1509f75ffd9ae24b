
/*
 * What the parts of the file store share.  A folder holds, for each zone,
 *
 *     ZONE.json        its clients, for people, too (tb_snapshot.h)
 *     ZONE.journal.N   changes since, 1 or more files (tb_journal.h)
 *     ZONE.tokens      buckets that are not full, and the secret of the
 *                      hash that stands for clients in it (tb_tokens.h)
 *
 * and "lock".  A process that writes holds a lock on a byte of that file,
 * whose end the kernel sees to.  Where two are needed they are taken in the
 * order COMPACT, TOKENS, WRITE.
 *
 * Functions with an error argument may run in a thread of nginx's pool: they
 * block, they do not log, and say in *error what there is to log.
 */


#ifndef NGX_HTTP_TBUCKET_STORE_FILE_H
#define NGX_HTTP_TBUCKET_STORE_FILE_H


#include <ngx_config.h>
#include <ngx_core.h>

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif

#include "src/tbucket/ngx_http_tbucket_store.h"


#define NGX_HTTP_TBUCKET_FILE_BATCH  64        /* writes that share a sync */

/*
 * ms that is waited for a lock: at a start, a reload and an exit; and for
 * saves, of which some take as long.
 */
#define NGX_HTTP_TBUCKET_FILE_LOAD_WAIT  4000
#define NGX_HTTP_TBUCKET_FILE_SAVE_WAIT  10000

/* kept->edited: why the file of clients is not to be written */
#define NGX_HTTP_TBUCKET_FILE_EDITED    1
#define NGX_HTTP_TBUCKET_FILE_TOO_MANY  2

/* reasons for a store to be down, bits of the zone's store.down */
#define NGX_HTTP_TBUCKET_DOWN_WRITE   1u
#define NGX_HTTP_TBUCKET_DOWN_TOKENS  2u


typedef enum {
    NGX_HTTP_TBUCKET_FILE_COMPACT = 0,
    NGX_HTTP_TBUCKET_FILE_TOKENS,
    NGX_HTTP_TBUCKET_FILE_WRITE
} ngx_http_tbucket_file_lock_e;


/* Something to log by whoever may. */

typedef struct {
    ngx_err_t                     err;
    char                          text[1024];    /* empty: nothing */
} ngx_http_tbucket_file_error_t;


typedef struct {
    ngx_str_t                     path;     /* NUL-terminated */
    ngx_str_t                     lock;     /* of the lock file, as well */
    ngx_fd_t                      fd;       /* of the lock file: while it is
                                               open, the folder is ours */
    ngx_uint_t                    nzones;
    struct ngx_http_tbucket_file_zone_s  *zones;
    ngx_event_t                   ticker;
} ngx_http_tbucket_file_t;


/* Something that runs in a thread, if there are threads. */

typedef struct {
    void                        (*run)(void *data);
    void                        (*done)(void *data);
    void                         *data;
    unsigned                      busy:1;
    unsigned                      stuck:1;  /* was told of */
    ngx_event_t                   guard;    /* keeps the worker from exiting */
#if (NGX_THREADS)
    ngx_thread_task_t             task;
#endif
} ngx_http_tbucket_file_job_t;


/* A zone in this process. */

typedef struct ngx_http_tbucket_file_zone_s {
    ngx_http_tbucket_zone_t      *zone;
    ngx_http_tbucket_store_t     *store;
    ngx_http_tbucket_file_t      *file;
    ngx_log_t                    *log;
    ngx_msec_t                    patience;  /* for locks but of a write */

    ngx_str_t                     stem;     /* "/path/ZONE" */
    uint64_t                      byte;     /* of the lock file; + lock_e */

    /* writes: those that wait, those that a thread is at */
    ngx_queue_t                   waiting;
    ngx_http_tbucket_file_job_t   commit;
    ngx_http_tbucket_write_t     *batch[NGX_HTTP_TBUCKET_FILE_BATCH];
    ngx_uint_t                    nbatch;
    ngx_uint_t                    ndone;    /* of these; the rest must wait */
    ngx_uint_t                    ok;       /* the store took them */
    ngx_http_tbucket_file_error_t commit_error;
    ngx_uint_t                    quiet;    /* it is no fault of the disk */
    ngx_msec_t                    wait;     /* for the lock, at most */
    ngx_event_t                   look;     /* whether they wait for long */
    ngx_uint_t                    hangs;    /* the thread, for a timeout */
    ngx_http_tbucket_file_error_t hang_error;

    /* saves; us, when a thread that is at one last got on */
    _Atomic uint64_t              alive;
    ngx_http_tbucket_file_job_t   compact;
    ngx_int_t                     compact_rc;
    ngx_msec_t                    compact_at;    /* not before then */
    uint64_t                      compact_begin; /* us */
    ngx_http_tbucket_file_error_t compact_error;

    ngx_http_tbucket_file_job_t   tokens;
    ngx_int_t                     tokens_rc;
    ngx_msec_t                    tokens_at;
    uint64_t                      tokens_begin;
    ngx_http_tbucket_file_error_t tokens_error;

    ngx_uint_t                    told;     /* of an edit, of another nginx */
} ngx_http_tbucket_file_zone_t;


/* ngx_http_tbucket_store_file_folder.c: the folder, and files in it */

/* Creates the folder if it is missing and makes it ours; logs. */

ngx_int_t ngx_http_tbucket_file_open_folder(ngx_http_tbucket_file_t *file,
    ngx_cycle_t *cycle);

/*
 * Blocks, for wait ms at most.  What it returns is closed to unlock; or
 * NGX_INVALID_FILE.
 */

ngx_fd_t ngx_http_tbucket_file_lock(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_lock_e which, ngx_msec_t wait,
    ngx_http_tbucket_file_error_t *error);

/* For who takes a lock again and again: makes room for those who wait. */

void ngx_http_tbucket_file_yield(ngx_http_tbucket_file_zone_t *fz);

/* Sets *error to "what "path" failed", unless something is there already. */

void ngx_http_tbucket_file_fail(ngx_http_tbucket_file_error_t *error,
    ngx_err_t err, const char *what, const char *path);

/* The path of a zone's file in buf of NGX_MAX_PATH bytes; returns buf. */

char *ngx_http_tbucket_file_path(ngx_http_tbucket_file_zone_t *fz, char *buf,
    const char *suffix);
char *ngx_http_tbucket_file_journal(ngx_http_tbucket_file_zone_t *fz,
    char *buf, uint64_t number);

/* All of a file in memory of ngx_alloc(); NGX_DECLINED: there is none. */

ngx_int_t ngx_http_tbucket_file_read(ngx_http_tbucket_file_zone_t *fz,
    const char *path, ngx_str_t *text, struct stat *st,
    ngx_http_tbucket_file_error_t *error);

/* What a file of the zone has at most, bytes. */

uint64_t ngx_http_tbucket_file_limit(ngx_http_tbucket_file_zone_t *fz);

/* Opens a regular file for reading and writing, 0600 if it is made. */

ngx_fd_t ngx_http_tbucket_file_open(const char *path, int flags,
    ngx_http_tbucket_file_error_t *error);

ngx_int_t ngx_http_tbucket_file_put(ngx_fd_t fd, const void *data,
    size_t len, off_t offset);
ngx_int_t ngx_http_tbucket_file_sync_folder(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_error_t *error);
void ngx_http_tbucket_file_print(ngx_http_tbucket_print_t *print,
    const struct stat *st);

/* Renames a file to one that ends in ".bad", whose name is put in buf. */

ngx_int_t ngx_http_tbucket_file_set_aside(const char *path, char *buf);

uint64_t ngx_http_tbucket_file_now(void);      /* ms since 1970 */


/* ngx_http_tbucket_store_file_journal.c: which journal is written to */

/*
 * Whether the journal that kept->journal names is still ours; NGX_DECLINED:
 * it is not, or there is none.  With the lock WRITE, as the next one.
 */

ngx_int_t ngx_http_tbucket_file_fence(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_error_t *error);

/* Begins a journal of that number, and makes it the one in use. */

ngx_int_t ngx_http_tbucket_file_begin(ngx_http_tbucket_file_zone_t *fz,
    uint64_t number, ngx_http_tbucket_file_error_t *error);

/* Commits a batch of writes; for fz->commit. */

void ngx_http_tbucket_file_commit(void *data);


/* ngx_http_tbucket_store_file_save.c: whole files */

/*
 * Writes the file of clients anew and drops the journals before number.
 * NGX_DECLINED: not done, because a person has edited it.  The caller has
 * the lock COMPACT, and WRITE if has_write is set.  Unless final is set, a
 * process that has to exit gives up with NGX_ABORT; so in the others.
 */

ngx_int_t ngx_http_tbucket_file_write_clients(
    ngx_http_tbucket_file_zone_t *fz, uint64_t number, ngx_uint_t has_write,
    ngx_uint_t final, ngx_http_tbucket_file_error_t *error);

/*
 * Moves what the journals hold into the file of clients; nothing is done if
 * they hold nothing.  NGX_OK, NGX_DECLINED, NGX_ABORT or NGX_ERROR.
 */

ngx_int_t ngx_http_tbucket_file_fold(ngx_http_tbucket_file_zone_t *fz,
    ngx_uint_t final, ngx_http_tbucket_file_error_t *error);

ngx_int_t ngx_http_tbucket_file_save_tokens(ngx_http_tbucket_file_zone_t *fz,
    ngx_uint_t final, ngx_http_tbucket_file_error_t *error);


/* ngx_http_tbucket_store_file_batch.c: writes of a worker */

void ngx_http_tbucket_file_prepare_writes(ngx_http_tbucket_file_zone_t *fz);
void ngx_http_tbucket_file_write(ngx_http_tbucket_store_t *store,
    ngx_http_tbucket_write_t *write);

/* Sets or clears a bit of the zone's store.down, and logs what changes. */

void ngx_http_tbucket_file_verdict(ngx_http_tbucket_file_zone_t *fz,
    uint32_t bit, ngx_uint_t ok, ngx_http_tbucket_file_error_t *error);


/* ngx_http_tbucket_store_file_job.c: runs in a thread, then is done */

void ngx_http_tbucket_file_post(ngx_http_tbucket_file_job_t *job);

/* The thread, or child, gets on. */

void ngx_http_tbucket_file_alive(ngx_http_tbucket_file_zone_t *fz);

/* Says, by that bit, that a job begun at that time (us) does not get on. */

void ngx_http_tbucket_file_watch(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_job_t *job, uint64_t begin, uint32_t bit);

/* Says, by that bit, what a job has come to. */

void ngx_http_tbucket_file_tell(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_job_t *job, ngx_int_t rc, uint32_t bit,
    ngx_http_tbucket_file_error_t *error);


/* ngx_http_tbucket_store_file_load.c; in the master, logs */

ngx_int_t ngx_http_tbucket_file_load_zone(ngx_http_tbucket_file_zone_t *fz,
    ngx_cycle_t *cycle);


#endif /* NGX_HTTP_TBUCKET_STORE_FILE_H */
