
/*
 * Reading a state file: as the configuration is read, and by a thread of a
 * worker that has to find out what is in it.
 */


#include "src/lb/upstream/ngx_http_lb_state_read.h"

#include "src/core/balance/lb_entry.h"
#include "src/lb/upstream/ngx_http_lb_line.h"


#define NGX_HTTP_LB_READ_PIECE  16384


/* from malloc(): a configuration keeps no more than what was read */

typedef struct {
    ngx_pool_t           *pool;
    ngx_uint_t            pending;
    ngx_uint_t            fatal;        /* the error is not the file's */
    ngx_array_t           servers;      /* lb_line_t */
    ngx_array_t           lines;        /* lb_line_t */
    ngx_array_t           names;        /* lb_entry_t */
    lb_entry_t            entry;        /* that is being read */
    gw_record_t           reader;
    u_char                buf[NGX_HTTP_LB_READ_PIECE];
} ngx_http_lb_read_t;


static ngx_int_t ngx_http_lb_read_list(ngx_http_lb_read_t *read,
    ngx_http_lb_file_t *list);
static ngx_int_t ngx_http_lb_read_error(ngx_http_lb_read_t *read,
    ngx_http_lb_file_t *list);
static ngx_int_t ngx_http_lb_read_text(ngx_http_lb_read_t *read, ngx_fd_t fd);
static int ngx_http_lb_read_each(gw_record_t *reader, void *data);
static int ngx_http_lb_read_name(gw_record_t *reader,
    ngx_http_lb_read_t *read);
static int ngx_http_lb_read_line(gw_record_t *reader,
    ngx_http_lb_read_t *read, ngx_addr_t *addr);
static int ngx_http_lb_read_fatal(gw_record_t *reader,
    ngx_http_lb_read_t *read);
static ngx_int_t ngx_http_lb_read_ids(ngx_pool_t *pool, lb_line_t *lines,
    ngx_uint_t n);
static int ngx_libc_cdecl ngx_http_lb_read_cmp(const void *one,
    const void *two);


ngx_int_t
ngx_http_lb_state_read(ngx_http_lb_file_t *list, ngx_pool_t *pool,
    ngx_fd_t fd, ngx_uint_t pending)
{
    ngx_int_t             rc;
    struct stat           st;
    ngx_http_lb_read_t   *read;

    ngx_memzero(list, sizeof(ngx_http_lb_file_t));

    read = calloc(1, sizeof(ngx_http_lb_read_t));

    if (read == NULL) {
        return NGX_ERROR;
    }

    read->pool = pool;
    read->pending = pending;

    rc = NGX_ERROR;

    if (ngx_array_init(&read->servers, pool, 16, sizeof(lb_line_t)) != NGX_OK
        || ngx_array_init(&read->lines, pool, 16, sizeof(lb_line_t)) != NGX_OK
        || ngx_array_init(&read->names, pool, 1, sizeof(lb_entry_t))
           != NGX_OK)
    {
        ngx_set_errno(NGX_ENOMEM);

    } else if (fstat(fd, &st) == 0) {
        rc = ngx_http_lb_read_text(read, fd);
    }

    if (rc == NGX_OK) {
        list->stamp = ngx_http_lb_state_stamp(&st);
        rc = ngx_http_lb_read_list(read, list);

    } else if (rc == NGX_DECLINED) {
        rc = ngx_http_lb_read_error(read, list);
    }

    free(read);

    return rc;
}


static ngx_int_t
ngx_http_lb_read_list(ngx_http_lb_read_t *read, ngx_http_lb_file_t *list)
{
    list->list.servers = read->servers.elts;
    list->list.nservers = read->servers.nelts;
    list->list.lines = read->lines.elts;
    list->list.nlines = read->lines.nelts;
    list->compared = (read->reader.arrays & (1u << LB_ENTRY_LINES)) != 0;
    list->names = read->names.elts;
    list->nnames = read->names.nelts;

    return ngx_http_lb_read_ids(read->pool, read->servers.elts,
                                read->servers.nelts);
}


static ngx_int_t
ngx_http_lb_read_error(ngx_http_lb_read_t *read, ngx_http_lb_file_t *list)
{
    size_t  len;

    len = ngx_strlen(read->reader.json.error) + 1;

    list->error = ngx_pnalloc(read->pool, len);

    if (list->error == NULL) {
        ngx_set_errno(NGX_ENOMEM);
        return NGX_ERROR;
    }

    ngx_memcpy(list->error, read->reader.json.error, len);

    return NGX_DECLINED;
}


uint64_t
ngx_http_lb_state_stamp(const struct stat *st)
{
    uint64_t  stamp;

    stamp = (uint64_t) st->st_ino * UINT64_C(0x9e3779b97f4a7c15);
    stamp ^= ((uint64_t) st->st_mtim.tv_sec * 1000000000
              + (uint64_t) st->st_mtim.tv_nsec)
             * UINT64_C(0xc2b2ae3d27d4eb4f);
    stamp ^= (uint64_t) st->st_size << 1;

    return stamp | 1;
}


static ngx_int_t
ngx_http_lb_read_text(ngx_http_lb_read_t *read, ngx_fd_t fd)
{
    off_t     offset;
    ssize_t   n;

    gw_record_init(&read->reader, &lb_entry_file, &read->entry,
                   ngx_http_lb_read_each, read);

    for (offset = 0; /* void */ ; offset += n) {
        n = pread(fd, read->buf, NGX_HTTP_LB_READ_PIECE, offset);

        if (n == -1) {
            return NGX_ERROR;
        }

        if (n == 0) {
            break;
        }

        /* it may grow while it is read */

        if (offset + n > NGX_HTTP_LB_STATE_MAX) {
            ngx_set_errno(EFBIG);
            return NGX_ERROR;
        }

        if (gw_record_feed(&read->reader, read->buf, n) != 0) {
            return read->fatal ? NGX_ERROR : NGX_DECLINED;
        }
    }

    return gw_record_finish(&read->reader) == 0 ? NGX_OK : NGX_DECLINED;
}


static int
ngx_http_lb_read_each(gw_record_t *reader, void *data)
{
    ngx_http_lb_read_t  *read = data;

    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url.len = read->entry.address_length;
    u.url.data = ngx_pnalloc(read->pool, u.url.len + 1);

    if (u.url.data == NULL) {
        return ngx_http_lb_read_fatal(reader, read);
    }

    ngx_memcpy(u.url.data, read->entry.address, u.url.len);
    u.url.data[u.url.len] = '\0';

    u.default_port = 80;
    u.no_resolve = 1;

    if (ngx_parse_url(read->pool, &u) != NGX_OK) {

        if (u.err == NULL) {
            return ngx_http_lb_read_fatal(reader, read);
        }

        gw_record_fail(reader, "address \"%.*s\": %s", (int) u.url.len,
                       u.url.data, u.err);
        return -1;
    }

    if (u.naddrs > 1) {
        gw_record_fail(reader, "address \"%.*s\": more than one address",
                       (int) u.url.len, u.url.data);
        return -1;
    }

    if (u.naddrs == 0) {
        return ngx_http_lb_read_name(reader, read);
    }

    if (reader->array == LB_ENTRY_NAMES) {
        gw_record_fail(reader, "address \"%.*s\" is not a name",
                       (int) u.url.len, u.url.data);
        return -1;
    }

    return ngx_http_lb_read_line(reader, read, &u.addrs[0]);
}


/* a name that a person has written, as in a server line */

static int
ngx_http_lb_read_name(gw_record_t *reader, ngx_http_lb_read_t *read)
{
    lb_entry_t  *entry;

    if (reader->array == LB_ENTRY_LINES) {
        gw_record_fail(reader, "address \"%.*s\" is not one",
                       (int) read->entry.address_length,
                       read->entry.address);
        return -1;
    }

    if (read->names.nelts == LB_SERVERS_MAX) {
        gw_record_fail(reader, "more than %d names", LB_SERVERS_MAX);
        return -1;
    }

    entry = ngx_array_push(&read->names);

    if (entry == NULL) {
        return ngx_http_lb_read_fatal(reader, read);
    }

    *entry = read->entry;
    entry->members &= ~(unsigned) LB_ENTRY_ID;

    return 0;
}


static int
ngx_http_lb_read_line(gw_record_t *reader, ngx_http_lb_read_t *read,
    ngx_addr_t *addr)
{
    u_char       *host;
    lb_line_t    *line;
    lb_entry_t   *entry;
    ngx_array_t  *lines;

    entry = &read->entry;
    lines = (reader->array == LB_ENTRY_LINES) ? &read->lines : &read->servers;

    if (addr->name.len > LB_NAME_MAX || addr->socklen > LB_ADDRESS_MAX
        || lines->nelts == LB_SERVERS_MAX)
    {
        gw_record_fail(reader, "more than %d servers, or a longer address "
                       "than %d", LB_SERVERS_MAX, LB_NAME_MAX);
        return -1;
    }

    /* the name that a server line has */

    if (!(entry->members & LB_ENTRY_NAME)) {
        entry->name_length = addr->name.len;
        ngx_memcpy(entry->name, addr->name.data, addr->name.len);
    }

    host = ngx_pnalloc(read->pool, entry->name_length);
    line = ngx_array_push(lines);

    if (host == NULL || line == NULL) {
        return ngx_http_lb_read_fatal(reader, read);
    }

    ngx_memcpy(host, entry->name, entry->name_length);
    ngx_memzero(line, sizeof(lb_line_t));

    if (ngx_http_lb_line_set(read->pool, line, addr, NULL) != NGX_OK) {
        return ngx_http_lb_read_fatal(reader, read);
    }

    ngx_http_lb_line_entry(entry, line);

    if (reader->array == LB_ENTRY_LINES) {
        line->status &= ~(uint32_t) LB_DRAINING;
    }

    line->host = (char *) host;
    line->host_length = entry->name_length;
    line->resolved = (entry->members & LB_ENTRY_RESOLVED) && entry->resolved;
    line->pending = read->pending;

    return 0;
}


static int
ngx_http_lb_read_fatal(gw_record_t *reader, ngx_http_lb_read_t *read)
{
    read->fatal = 1;

    gw_record_fail(reader, "no memory");
    ngx_set_errno(NGX_ENOMEM);

    return -1;
}


/* of servers with the same id only one keeps it; who has none gets one */

static ngx_int_t
ngx_http_lb_read_ids(ngx_pool_t *pool, lb_line_t *lines, ngx_uint_t n)
{
    uint64_t     last;
    ngx_uint_t   i;
    lb_line_t  **order;

    order = ngx_palloc(pool, (n + 1) * sizeof(lb_line_t *));

    if (order == NULL) {
        ngx_set_errno(NGX_ENOMEM);
        return NGX_ERROR;
    }

    last = 0;

    for (i = 0; i < n; i++) {
        order[i] = &lines[i];

        if (lines[i].id <= LB_ID_COUNTED) {
            last = ngx_max(last, lines[i].id);
        }
    }

    ngx_qsort(order, n, sizeof(lb_line_t *), ngx_http_lb_read_cmp);

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
ngx_http_lb_read_cmp(const void *one, const void *two)
{
    const lb_line_t  *a, *b;

    a = *(const lb_line_t *const *) one;
    b = *(const lb_line_t *const *) two;

    if (a->id != b->id) {
        return (a->id > b->id) ? 1 : -1;
    }

    return (a > b) - (a < b);
}
