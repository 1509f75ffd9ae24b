
/*
 * lb_state: the directive, the file as the configuration is read, and what
 * becomes of a file that is no list of servers.
 *
 * Reading changes nothing, so that "nginx -t" may do it; a bad file is set
 * aside when the configuration has been accepted.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/gw_id.h"
#include "src/lb/ngx_http_lb_edit.h"


#define NGX_HTTP_LB_STATE_PIECE  16384
#define NGX_HTTP_LB_STATE_MAX    (64 * 1024 * 1024)

typedef struct {
    ngx_conf_t               *cf;
    ngx_http_lb_srv_conf_t   *lcf;
    ngx_array_t               lines;    /* lb_line_t */
    ngx_uint_t                fatal;    /* the error is not the file's */
} ngx_http_lb_state_load_t;


static ngx_int_t ngx_http_lb_state_paths(ngx_conf_t *cf,
    ngx_http_lb_state_t *state, ngx_str_t *path);
static ngx_int_t ngx_http_lb_state_unique(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_uint_t ngx_http_lb_state_utf8(const char *text, size_t len);
static ngx_int_t ngx_http_lb_state_load(ngx_http_lb_state_load_t *load,
    ngx_file_t *file);
static ngx_int_t ngx_http_lb_state_parse(ngx_http_lb_state_load_t *load,
    ngx_file_t *file, lb_entry_reader_t *reader);
static int ngx_http_lb_state_each(lb_entry_reader_t *reader, void *data);
static int ngx_http_lb_state_resolve(lb_entry_reader_t *reader,
    ngx_http_lb_state_load_t *load, ngx_str_t *text);
static int ngx_http_lb_state_push(lb_entry_reader_t *reader,
    ngx_http_lb_state_load_t *load, lb_line_t *line);
static ngx_int_t ngx_http_lb_state_ids(ngx_conf_t *cf, lb_line_t *lines,
    ngx_uint_t n);
static int ngx_libc_cdecl ngx_http_lb_state_cmp(const void *one,
    const void *two);
static ngx_int_t ngx_http_lb_state_folder(ngx_cycle_t *cycle,
    ngx_http_lb_state_t *state);


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

    if (ngx_http_lb_state_paths(cf, state, &value[1]) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

#if (NGX_THREADS)
    if (ngx_thread_pool_add(cf, NULL) == NULL) {
        return NGX_CONF_ERROR;
    }
#endif

    lcf->state = state;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_lb_state_paths(ngx_conf_t *cf, ngx_http_lb_state_t *state,
    ngx_str_t *path)
{
    size_t  len;

    state->path = *path;

    if (ngx_conf_full_name(cf->cycle, &state->path, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    state->temp.len = state->path.len + sizeof(".tmp") - 1;
    state->temp.data = ngx_pnalloc(cf->pool, state->temp.len + 1);

    state->folder.data = ngx_pnalloc(cf->pool, state->path.len + 1);

    if (state->temp.data == NULL || state->folder.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(state->temp.data, "%V.tmp%Z", &state->path);

    for (len = state->path.len; state->path.data[len - 1] != '/'; len--) {
        /* the path is absolute */
    }

    state->folder.len = (len > 1) ? len - 1 : len;
    ngx_memcpy(state->folder.data, state->path.data, state->folder.len);
    state->folder.data[state->folder.len] = '\0';

    return NGX_OK;
}


/* the file, before there is a zone for what is in it */

ngx_int_t
ngx_http_lb_state_init(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_int_t                 rc;
    ngx_file_t                file;
    ngx_http_lb_state_t      *state;
    ngx_http_lb_state_load_t  load;

    state = lcf->state;

    if (state == NULL) {
        return NGX_OK;
    }

    if (ngx_http_lb_state_unique(cf, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = state->path;
    file.log = cf->log;
    file.fd = ngx_open_file(state->path.data,
                            NGX_FILE_RDONLY|NGX_FILE_NONBLOCK, NGX_FILE_OPEN,
                            0);

    if (file.fd == NGX_INVALID_FILE) {

        if (ngx_errno == NGX_ENOENT) {
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      ngx_open_file_n " \"%V\" failed, the state file of "
                      "upstream \"%V\" in %s:%ui", &state->path,
                      &lcf->upstream->host, lcf->file, lcf->line);
        return NGX_ERROR;
    }

    state->found = 1;

    ngx_memzero(&load, sizeof(ngx_http_lb_state_load_t));

    load.cf = cf;
    load.lcf = lcf;

    rc = ngx_http_lb_state_load(&load, &file);

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", &state->path);
    }

    return rc;
}


static ngx_int_t
ngx_http_lb_state_unique(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_uint_t                i;
    ngx_str_t                *path;
    ngx_http_lb_srv_conf_t  **lcfp;
    ngx_http_lb_main_conf_t  *lmcf;

    lmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_lb_upstream_module);
    lcfp = lmcf->upstreams.elts;
    path = &lcf->state->path;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (lcfp[i] != lcf && lcfp[i]->state
            && lcfp[i]->state->path.len == path->len
            && ngx_memcmp(lcfp[i]->state->path.data, path->data, path->len)
               == 0)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"lb_state\" \"%V\" of upstream \"%V\" is that of "
                          "upstream \"%V\", too, in %s:%ui",
                          path, &lcf->upstream->host,
                          &lcfp[i]->upstream->host, lcf->file, lcf->line);
            return NGX_ERROR;
        }
    }

    for (i = 0; i < lcf->nlines; i++) {

        if (!ngx_http_lb_state_utf8(lcf->lines[i].host,
                                    lcf->lines[i].host_length))
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "name of a server in upstream \"%V\" is not UTF-8, "
                          "\"lb_state\" cannot hold it, in %s:%ui",
                          &lcf->upstream->host, lcf->file, lcf->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_lb_state_utf8(const char *text, size_t len)
{
    int     n;
    size_t  i;

    for (i = 0; i < len; i += n) {
        n = gw_utf8_sequence((const u_char *) text + i, len - i);

        if (n <= 0 || (u_char) text[i] <= ' ' || text[i] == 0x7f) {
            return 0;
        }
    }

    return 1;
}


static ngx_int_t
ngx_http_lb_state_load(ngx_http_lb_state_load_t *load, ngx_file_t *file)
{
    ngx_int_t             rc;
    ngx_file_info_t       fi;
    ngx_http_lb_state_t  *state;
    lb_entry_reader_t    *reader;

    state = load->lcf->state;

    if (ngx_fd_info(file->fd, &fi) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_EMERG, load->cf->log, ngx_errno,
                      ngx_fd_info_n " \"%V\" failed", &state->path);
        return NGX_ERROR;
    }

    if (!ngx_is_file(&fi) || ngx_file_size(&fi) > NGX_HTTP_LB_STATE_MAX) {
        ngx_log_error(NGX_LOG_EMERG, load->cf->log, 0,
                      "\"%V\", the state file of upstream \"%V\", is not a "
                      "file of at most 64m in %s:%ui", &state->path,
                      &load->lcf->upstream->host, load->lcf->file,
                      load->lcf->line);
        return NGX_ERROR;
    }

    reader = ngx_palloc(load->cf->temp_pool, sizeof(lb_entry_reader_t));

    if (reader == NULL
        || ngx_array_init(&load->lines, load->cf->pool, 16,
                          sizeof(lb_line_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_lb_state_parse(load, file, reader);

    if (rc == NGX_OK) {
        state->lines = load->lines.elts;
        state->nlines = load->lines.nelts;

        return ngx_http_lb_state_ids(load->cf, state->lines, state->nlines);
    }

    if (rc == NGX_DECLINED) {
        state->bad = 1;

        ngx_log_error(NGX_LOG_ERR, load->cf->log, 0,
                      "lb: state file \"%V\" of upstream \"%V\" is not "
                      "used: %s", &state->path, &load->lcf->upstream->host,
                      reader->json.error);
        return NGX_OK;
    }

    if (load->fatal) {
        ngx_log_error(NGX_LOG_EMERG, load->cf->log, 0,
                      "state file \"%V\" of upstream \"%V\": %s in %s:%ui",
                      &state->path, &load->lcf->upstream->host,
                      reader->json.error, load->lcf->file, load->lcf->line);
    }

    return NGX_ERROR;
}


/* NGX_DECLINED: reader->json.error says what is wrong with the file */

static ngx_int_t
ngx_http_lb_state_parse(ngx_http_lb_state_load_t *load, ngx_file_t *file,
    lb_entry_reader_t *reader)
{
    off_t     offset;
    u_char   *buf;
    ssize_t   n;

    buf = ngx_palloc(load->cf->temp_pool, NGX_HTTP_LB_STATE_PIECE);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    lb_entry_init(reader, &lb_entry_file, ngx_http_lb_state_each, load);

    offset = 0;

    for ( ;; ) {
        n = ngx_read_file(file, buf, NGX_HTTP_LB_STATE_PIECE, offset);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (n == 0) {
            break;
        }

        offset += n;

        if (lb_entry_feed(reader, buf, n) != 0) {
            return load->fatal ? NGX_ERROR : NGX_DECLINED;
        }
    }

    return lb_entry_finish(reader) == 0 ? NGX_OK : NGX_DECLINED;
}


static int
ngx_http_lb_state_each(lb_entry_reader_t *reader, void *data)
{
    ngx_http_lb_state_load_t  *load = data;

    ngx_str_t    text;
    lb_line_t    line;
    const char  *reason;
    lb_entry_t  *entry;

    entry = &reader->entry;

    ngx_memzero(&line, sizeof(lb_line_t));

    text.len = entry->address_length;
    text.data = ngx_pnalloc(load->cf->pool, text.len + 1);

    if (text.data == NULL) {
        load->fatal = 1;
        lb_entry_fail(reader, "no memory");
        return -1;
    }

    ngx_memcpy(text.data, entry->address, text.len);
    text.data[text.len] = '\0';

    ngx_http_lb_edit_line(entry, &line);

    if (ngx_http_lb_edit_address(load->cf->pool, &text, &line, &reason)
        != NGX_OK)
    {
        return ngx_http_lb_state_resolve(reader, load, &text);
    }

    /* the server line that it is from, if it was one */

    line.host = (char *) text.data;
    line.host_length = text.len;

    if (entry->members & LB_ENTRY_NAME) {
        line.host_length = entry->name_length;
        line.host = ngx_pnalloc(load->cf->pool, entry->name_length);

        if (line.host == NULL) {
            load->fatal = 1;
            lb_entry_fail(reader, "no memory");
            return -1;
        }

        ngx_memcpy((char *) line.host, entry->name, entry->name_length);
    }

    return ngx_http_lb_state_push(reader, load, &line);
}


/* names in a file that a person has written, as in server lines */

static int
ngx_http_lb_state_resolve(lb_entry_reader_t *reader,
    ngx_http_lb_state_load_t *load, ngx_str_t *text)
{
    ngx_url_t   u;
    ngx_uint_t  i;
    lb_line_t   line;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *text;
    u.default_port = 80;

    if (ngx_parse_url(load->cf->pool, &u) != NGX_OK) {

        /* a resolver that is down says nothing about the file */

        load->fatal = (u.err && ngx_strncmp(u.err, "host not found", 14)
                                == 0);

        lb_entry_fail(reader, "address \"%.*s\": %s", (int) text->len,
                      text->data, u.err ? u.err : "no memory");
        return -1;
    }

    for (i = 0; i < u.naddrs; i++) {
        ngx_memzero(&line, sizeof(lb_line_t));
        ngx_http_lb_edit_line(&reader->entry, &line);

        line.host = (char *) text->data;
        line.host_length = text->len;
        line.name = (char *) u.addrs[i].name.data;
        line.name_length = u.addrs[i].name.len;
        line.address = u.addrs[i].sockaddr;
        line.address_length = u.addrs[i].socklen;

        if (ngx_http_lb_state_push(reader, load, &line) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
ngx_http_lb_state_push(lb_entry_reader_t *reader,
    ngx_http_lb_state_load_t *load, lb_line_t *line)
{
    lb_line_t  *slot;

    if (line->name_length > LB_NAME_MAX
        || line->address_length > LB_ADDRESS_MAX
        || load->lines.nelts == LB_SERVERS_MAX)
    {
        lb_entry_fail(reader, "more than %d servers", LB_SERVERS_MAX);
        return -1;
    }

    slot = ngx_array_push(&load->lines);

    if (slot == NULL) {
        load->fatal = 1;
        lb_entry_fail(reader, "no memory");
        return -1;
    }

    *slot = *line;
    slot->pending = ngx_http_lb_check_is_mandatory(load->lcf);

    return 0;
}


/* of servers with the same id only one keeps it; who has none gets one */

static ngx_int_t
ngx_http_lb_state_ids(ngx_conf_t *cf, lb_line_t *lines, ngx_uint_t n)
{
    uint64_t     last;
    ngx_uint_t   i;
    lb_line_t  **order;

    order = ngx_palloc(cf->temp_pool, (n + 1) * sizeof(lb_line_t *));
    if (order == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        order[i] = &lines[i];
    }

    ngx_qsort(order, n, sizeof(lb_line_t *), ngx_http_lb_state_cmp);

    last = n ? order[n - 1]->id : 0;

    for (i = n; i-- > 1; /* void */) {

        if (order[i]->id == order[i - 1]->id) {
            order[i]->id = 0;
        }
    }

    for (i = 0; i < n; i++) {

        if (lines[i].id == 0) {
            lines[i].id = ++last;
        }
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_http_lb_state_cmp(const void *one, const void *two)
{
    const lb_line_t  *a, *b;

    a = *(const lb_line_t *const *) one;
    b = *(const lb_line_t *const *) two;

    if (a->id != b->id) {
        return (a->id > b->id) ? 1 : -1;
    }

    return (a > b) - (a < b);
}


ngx_int_t
ngx_http_lb_state_init_module(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf, ngx_uint_t fresh)
{
    u_char               *aside;
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    if (state == NULL || ngx_test_config) {
        return NGX_OK;
    }

    if (ngx_http_lb_state_folder(cycle, state) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!state->bad) {

        if (fresh && state->found) {
            ngx_http_lb_state_compare(lcf, cycle->log);
        }

        return NGX_OK;
    }

    aside = ngx_pnalloc(cycle->pool, state->path.len + sizeof(".bad"));
    if (aside == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(aside, "%V.bad%Z", &state->path);

    if (ngx_rename_file(state->path.data, aside) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "lb: state file \"%V\" is bad and cannot be set "
                      "aside: " ngx_rename_file_n " failed", &state->path);
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                  "lb: state file \"%V\" of upstream \"%V\" was set aside "
                  "as \"%s\"", &state->path, &lcf->upstream->host, aside);

    return NGX_OK;
}


/* a folder that is missing is made, for the workers to write to */

static ngx_int_t
ngx_http_lb_state_folder(ngx_cycle_t *cycle, ngx_http_lb_state_t *state)
{
    ngx_core_conf_t  *ccf;

    if (ngx_create_dir(state->folder.data, 0700) == NGX_FILE_ERROR) {

        if (ngx_errno == NGX_EEXIST) {
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      "lb: " ngx_create_dir_n " \"%V\" failed, state file "
                      "\"%V\" cannot be written", &state->folder,
                      &state->path);
        return NGX_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (geteuid() == 0 && ccf->user != (ngx_uid_t) NGX_CONF_UNSET_UINT
        && chown((const char *) state->folder.data, ccf->user, ccf->group)
           == -1)
    {
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      "lb: chown(\"%V\", %d) failed", &state->folder,
                      (int) ccf->user);
    }

    return NGX_OK;
}


void
ngx_http_lb_state_init_process(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf)
{
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    if (state && access((const char *) state->folder.data, W_OK|X_OK) == -1) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      "lb: state file \"%V\" of upstream \"%V\" cannot be "
                      "written by workers, changes at runtime will be "
                      "refused", &state->path, &lcf->upstream->host);
    }
}
