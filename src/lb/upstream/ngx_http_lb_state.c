
/*
 * lb_state: the directive, where the file is, and what becomes of it at a
 * start and a reload.
 *
 * Reading changes nothing, so that "nginx -t" may do it; a bad file is set
 * aside when the configuration has been accepted.
 */


#include "src/lb/upstream/ngx_http_lb_state.h"

#include "src/common/ngx_gw_child.h"
#include "src/common/ngx_gw_path.h"
#include "src/lb/upstream/ngx_http_lb_check_conf.h"
#include "src/lb/upstream/ngx_http_lb_state_lines.h"
#include "src/lb/upstream/ngx_http_lb_state_lock.h"
#include "src/lb/upstream/ngx_http_lb_state_path.h"
#include "src/lb/upstream/ngx_http_lb_state_read.h"


#define NGX_HTTP_LB_STATE_ASIDE  1000


typedef struct {
    char  *path;
    char  *to;                  /* the name that it gets, or NULL */
} ngx_http_lb_state_job_t;


static ngx_int_t ngx_http_lb_state_open(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf, ngx_fd_t *fd);
static ngx_int_t ngx_http_lb_state_load(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf, ngx_fd_t fd);
static ngx_err_t ngx_http_lb_state_do(ngx_cycle_t *cycle,
    ngx_http_lb_state_t *state, char *to, ngx_fd_t *fd);
static ngx_int_t ngx_http_lb_state_job(ngx_gw_child_t *child);
static ngx_int_t ngx_http_lb_state_take(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf, ngx_uint_t fresh);
static ngx_int_t ngx_http_lb_state_go_on(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf, ngx_http_lb_state_t *old);
static ngx_http_lb_state_t *ngx_http_lb_state_old(ngx_http_lb_state_t *state);
static void ngx_http_lb_state_aside(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_err_t ngx_http_lb_state_rename(ngx_cycle_t *cycle,
    ngx_http_lb_state_t *state, u_char *aside);


char *
ngx_http_lb_state(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    ngx_str_t            *value;
    ngx_http_lb_state_t  *state;

    if (lcf->state) {
        return "is duplicate";
    }

    ngx_http_lb_needs_method(cf, cmd, lcf);

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].data[value[1].len - 1] == '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid path \"%V\" in \"%V\", it must be that "
                           "of a file", &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    state = ngx_pcalloc(cf->pool, sizeof(ngx_http_lb_state_t));
    if (state == NULL) {
        return NGX_CONF_ERROR;
    }

    state->path = value[1];
    state->fd = NGX_INVALID_FILE;

    if (ngx_conf_full_name(cf->cycle, &state->path, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_gw_job_conf(cf, "\"lb_state\"") != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    lcf->state = state;

    return NGX_CONF_OK;
}


/* the file, before there is a zone for what is in it */

ngx_int_t
ngx_http_lb_state_init(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_fd_t              fd;
    ngx_int_t             rc;
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    lcf->configured = lcf->nlines;

    if (state == NULL) {
        return NGX_OK;
    }

    if (ngx_http_lb_state_find(cf, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_lb_state_open(cf, lcf, &fd);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : rc;
    }

    state->found = 1;

    ngx_http_lb_state_mounted(cf, lcf);

    rc = ngx_http_lb_state_load(cf, lcf, fd);

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", &state->path);
    }

    return rc;
}


/* NGX_DECLINED: there is none */

static ngx_int_t
ngx_http_lb_state_open(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    ngx_fd_t *fd)
{
    ngx_err_t             err;
    struct stat           st;
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    err = ngx_http_lb_state_do(cf->cycle, state, NULL, fd);

    if (err != 0) {

        if (err == NGX_ENOENT) {
            return NGX_DECLINED;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, err,
                      ngx_open_file_n " \"%V\" failed, the state file of "
                      "upstream \"%V\" in %s:%ui", &state->path,
                      &lcf->upstream->host, lcf->file, lcf->line);
        return NGX_ERROR;
    }

    if (fstat(*fd, &st) == -1 || !S_ISREG(st.st_mode)
        || st.st_size > NGX_HTTP_LB_STATE_MAX)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\", the state file of upstream \"%V\", is not a "
                      "file of at most 64m in %s:%ui", &state->path,
                      &lcf->upstream->host, lcf->file, lcf->line);

    } else if (st.st_nlink != 1
               && !ngx_gw_path_is_ours((char *) state->folder.data))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\", the state file of upstream \"%V\", has more "
                      "names than this one, and others may write to its "
                      "folder, in %s:%ui", &state->path,
                      &lcf->upstream->host, lcf->file, lcf->line);

    } else {
        return NGX_OK;
    }

    (void) ngx_close_file(*fd);

    return NGX_ERROR;
}


/* opens or renames the file, as the workers' user if that may be led astray */

static ngx_err_t
ngx_http_lb_state_do(ngx_cycle_t *cycle, ngx_http_lb_state_t *state, char *to,
    ngx_fd_t *fd)
{
    ngx_int_t                rc;
    ngx_gw_child_t           child;
    ngx_http_lb_state_job_t  job;

    job.path = (char *) state->path.data;
    job.to = to;

    child.name = "lb_state";
    child.run = ngx_http_lb_state_job;
    child.data = &job;
    child.cycle = cycle;
    child.fd = NGX_INVALID_FILE;

    rc = ngx_gw_path_is_ours((char *) state->folder.data)
         ? ngx_http_lb_state_job(&child) : ngx_gw_child_run(&child);

    if (fd) {
        *fd = child.fd;
    }

    return (rc < 0) ? EIO : (ngx_err_t) rc;
}


/* an error number, or 0 */

static ngx_int_t
ngx_http_lb_state_job(ngx_gw_child_t *child)
{
    ngx_http_lb_state_job_t  *job;

    job = child->data;

    if (job->to) {
        return (rename(job->path, job->to) == -1) ? ngx_errno : 0;
    }

    child->fd = open(job->path, O_RDONLY|O_NONBLOCK|O_NOFOLLOW|O_CLOEXEC);

    return (child->fd == -1) ? ngx_errno : 0;
}


static ngx_int_t
ngx_http_lb_state_load(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    ngx_fd_t fd)
{
    ngx_int_t             rc;
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    rc = ngx_http_lb_state_read(&state->list, cf->pool, fd,
                                ngx_http_lb_check_is_mandatory(lcf));

    if (rc == NGX_OK) {
        return ngx_http_lb_state_names(cf, lcf);
    }

    if (rc == NGX_DECLINED) {
        state->bad = 1;

        ngx_log_error(NGX_LOG_ERR, cf->log, 0,
                      "lb: state file \"%V\" of upstream \"%V\" is not "
                      "used: %s", &state->path, &lcf->upstream->host,
                      state->list.error);
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                  "state file \"%V\" of upstream \"%V\" cannot be read "
                  "in %s:%ui", &state->path, &lcf->upstream->host, lcf->file,
                  lcf->line);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_lb_state_init_module(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf, ngx_uint_t fresh)
{
    ngx_int_t             rc;
    ngx_http_lb_state_t  *state, *old;

    state = lcf->state;

    if (state == NULL || ngx_test_config) {
        return NGX_OK;
    }

    old = ngx_http_lb_state_old(state);

    rc = (old && old->fd != NGX_INVALID_FILE)
         ? ngx_http_lb_state_go_on(cycle, lcf, old)
         : ngx_http_lb_state_take(cycle, lcf, fresh);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (state->bad) {

        if (state->owner != 0) {
            ngx_http_lb_state_aside(cycle, lcf);
        }

    } else if (fresh && state->found) {
        ngx_http_lb_state_compare(lcf, cycle->log);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_state_take(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf,
    ngx_uint_t fresh)
{
    ngx_int_t             rc;
    struct stat           st;
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    rc = ngx_http_lb_state_own(cycle, lcf);

    if (rc != NGX_OK || state->bad) {
        return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
    }

    /* another nginx may have written to it since, or while this one ran */

    if (lstat((char *) state->path.data, &st) == 0
        && (!fresh || ngx_http_lb_state_stamp(&st) != state->list.stamp))
    {
        gw_store_release(&lcf->roster->saving, 1);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_state_go_on(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_state_t *old)
{
    ngx_fd_t              fd;
    ngx_http_lb_owner_e   owner;
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    if (ngx_http_lb_state_own_on(cycle, state, old) != NGX_OK) {
        return NGX_ERROR;
    }

    owner = ngx_http_lb_state_enter(state, &fd);

    if (owner == NGX_HTTP_LB_OWNER_OTHER) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "lb: state file \"%V\" of upstream \"%V\" has been "
                      "taken over by another nginx, changes at runtime will "
                      "be refused", &state->path, &lcf->upstream->host);

    } else if (owner == NGX_HTTP_LB_OWNER_GONE) {
        gw_store_release(&lcf->roster->saving, 1);

    } else if (owner == NGX_HTTP_LB_OWNER_ERROR && ngx_errno == NGX_ENOENT) {

        /* somebody has removed the lock */

        return ngx_http_lb_state_take(cycle, lcf, 0);
    }

    if (fd != NGX_INVALID_FILE) {
        (void) ngx_close_file(fd);
    }

    return NGX_OK;
}


/* of the last configuration, if that had the file */

static ngx_http_lb_state_t *
ngx_http_lb_state_old(ngx_http_lb_state_t *state)
{
    ngx_uint_t                i;
    ngx_http_lb_main_conf_t  *lmcf;
    ngx_http_lb_srv_conf_t  **lcfp;

    if (ngx_is_init_cycle(ngx_cycle)) {
        return NULL;
    }

    lmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_lb_upstream_module);
    if (lmcf == NULL) {
        return NULL;
    }

    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (lcfp[i]->state && lcfp[i]->state->key == state->key) {
            return lcfp[i]->state;
        }
    }

    return NULL;
}


/* who cannot keep a bad file is not to write over it */

static void
ngx_http_lb_state_aside(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf)
{
    u_char               *aside;
    ngx_err_t             err;
    ngx_http_lb_state_t  *state;

    state = lcf->state;
    err = NGX_ENOMEM;

    aside = ngx_pnalloc(cycle->pool, state->path.len + sizeof(".bad.")
                                     + NGX_INT_T_LEN);
    if (aside != NULL) {
        err = ngx_http_lb_state_rename(cycle, state, aside);
    }

    if (err == 0) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "lb: state file \"%V\" of upstream \"%V\" was set "
                      "aside as \"%s\"", &state->path, &lcf->upstream->host,
                      aside);
        return;
    }

    ngx_log_error(NGX_LOG_ALERT, cycle->log, err,
                  "lb: state file \"%V\" of upstream \"%V\" is bad and "
                  "cannot be set aside, changes at runtime will be refused",
                  &state->path, &lcf->upstream->host);

    state->readonly = 1;
}


/* those that were set aside before stay */

static ngx_err_t
ngx_http_lb_state_rename(ngx_cycle_t *cycle, ngx_http_lb_state_t *state,
    u_char *aside)
{
    ngx_uint_t   i;
    struct stat  st;

    (void) ngx_sprintf(aside, "%V.bad%Z", &state->path);

    for (i = 1; lstat((char *) aside, &st) == 0; i++) {

        if (i == NGX_HTTP_LB_STATE_ASIDE) {
            return EEXIST;
        }

        (void) ngx_sprintf(aside, "%V.bad.%ui%Z", &state->path, i);
    }

    return ngx_http_lb_state_do(cycle, state, (char *) aside, NULL);
}


void
ngx_http_lb_state_init_process(ngx_http_lb_srv_conf_t *lcf)
{
    if (lcf->state && gw_load_acquire(&lcf->roster->saving)) {
        ngx_http_lb_edit_recover(lcf);
    }
}
