
/*
 * URLs of Redis stores.  Every function below takes a piece of the text
 * and returns 0, or -1 after it has set the error.
 */


#include <string.h>

#include "src/core/text/gw_piece.h"
#include "src/core/text/gw_redis_url.h"


typedef struct {
    const char         *scheme;     /* behind "redis" or "rediss" */
    gw_redis_kind_t     kind;
} gw_redis_url_kind_t;


static int gw_redis_url_unix(gw_redis_url_t *url, gw_piece_t rest);
static int gw_redis_url_authority(gw_redis_url_t *url, gw_piece_t rest);
static int gw_redis_url_userinfo(gw_redis_url_t *url, gw_piece_t piece);
static int gw_redis_url_hosts(gw_redis_url_t *url, gw_piece_t piece);
static int gw_redis_url_host(gw_redis_url_t *url, gw_piece_t piece);
static int gw_redis_url_ipv6(gw_redis_url_t *url, gw_redis_host_t *host,
    gw_piece_t *piece);
static int gw_redis_url_path(gw_redis_url_t *url, gw_piece_t piece);
static int gw_redis_url_db(gw_redis_url_t *url, gw_piece_t piece);
static int gw_redis_url_name(gw_piece_t piece, char *dst);
static int gw_redis_url_string(gw_piece_t piece, char *dst, size_t max);
static int gw_redis_url_fail(gw_redis_url_t *url, const char *error);


static const gw_redis_url_kind_t  gw_redis_url_kinds[] = {
    { "://", GW_REDIS_TCP },
    { "+sentinel://", GW_REDIS_SENTINEL },
    { "+cluster://", GW_REDIS_CLUSTER },
    { NULL, GW_REDIS_TCP }
};


int
gw_redis_url_parse(gw_redis_url_t *url, const char *text, size_t len)
{
    gw_piece_t                  rest;
    const gw_redis_url_kind_t  *kind;

    memset(url, 0, sizeof(gw_redis_url_t));

    rest.start = text;
    rest.end = text + len;

    if (gw_piece_begins(&rest, "redis+unix:")) {
        url->kind = GW_REDIS_UNIX;
        return gw_redis_url_unix(url, rest);
    }

    url->tls = gw_piece_begins(&rest, "rediss");

    if (url->tls || gw_piece_begins(&rest, "redis")) {

        for (kind = gw_redis_url_kinds; kind->scheme != NULL; kind++) {

            if (gw_piece_begins(&rest, kind->scheme)) {
                url->kind = kind->kind;
                return gw_redis_url_authority(url, rest);
            }
        }
    }

    return gw_redis_url_fail(url, "must begin with \"redis://\", "
                             "\"redis+unix:\", \"redis+sentinel://\" or "
                             "\"redis+cluster://\", or with \"rediss\" for "
                             "TLS");
}


static int
gw_redis_url_unix(gw_redis_url_t *url, gw_piece_t rest)
{
    gw_piece_t   path, query;

    path = rest;
    path.end = gw_piece_find(rest, '?');

    if (path.start == path.end || *path.start != '/') {
        return gw_redis_url_fail(url, "path of the unix socket must begin "
                                 "with \"/\"");
    }

    if (gw_redis_url_string(path, url->path, GW_REDIS_PATH_MAX) != 0) {
        return gw_redis_url_fail(url, "path of the unix socket must be at "
                                 "most 107 bytes, with \"%\" as \"%25\"");
    }

    if (path.end == rest.end) {
        return 0;
    }

    query.start = path.end + 1;
    query.end = rest.end;

    if (!gw_piece_begins(&query, "db=")) {
        return gw_redis_url_fail(url, "unknown parameter, only \"db\" is "
                                 "allowed");
    }

    return gw_redis_url_db(url, query);
}


static int
gw_redis_url_authority(gw_redis_url_t *url, gw_piece_t rest)
{
    const char  *p;
    gw_piece_t   hosts, userinfo, path;

    hosts = rest;
    hosts.end = gw_piece_find(rest, '/');

    path.start = hosts.end;
    path.end = rest.end;

    for (p = hosts.end; p > hosts.start; p--) {

        if (p[-1] != '@') {
            continue;
        }

        userinfo.start = hosts.start;
        userinfo.end = p - 1;
        hosts.start = p;

        if (gw_redis_url_userinfo(url, userinfo) != 0) {
            return -1;
        }

        break;
    }

    if (gw_redis_url_hosts(url, hosts) != 0) {
        return -1;
    }

    return gw_redis_url_path(url, path);
}


/* "user:password", ":password", or "user" (with the password elsewhere) */

static int
gw_redis_url_userinfo(gw_redis_url_t *url, gw_piece_t piece)
{
    gw_piece_t  user, password;

    user = piece;
    user.end = gw_piece_find(piece, ':');

    if (gw_redis_url_string(user, url->user, GW_REDIS_SECRET_MAX) != 0) {
        return gw_redis_url_fail(url, "user must be at most 511 bytes, with "
                                 "\"%\", \"/\", \":\" and \"@\" as \"%XX\"");
    }

    url->has_user = (url->user[0] != '\0');

    if (user.end == piece.end) {
        return url->has_user ? 0
                             : gw_redis_url_fail(url, "empty user before "
                                                 "\"@\"");
    }

    password.start = user.end + 1;
    password.end = piece.end;

    if (password.start == password.end
        || gw_redis_url_string(password, url->password, GW_REDIS_SECRET_MAX)
           != 0)
    {
        return gw_redis_url_fail(url, "password must be 1 to 511 bytes, with "
                                 "\"%\", \"/\" and \"@\" as \"%XX\"");
    }

    url->has_password = 1;

    return 0;
}


static int
gw_redis_url_hosts(gw_redis_url_t *url, gw_piece_t piece)
{
    gw_piece_t  host;

    host.start = piece.start;

    for ( ;; ) {
        host.end = piece.end;
        host.end = gw_piece_find(host, ',');

        if (url->nhosts == GW_REDIS_HOSTS_MAX) {
            return gw_redis_url_fail(url, "more than 16 hosts");
        }

        if (gw_redis_url_host(url, host) != 0) {
            return -1;
        }

        url->nhosts++;

        if (host.end == piece.end) {
            return 0;
        }

        if (url->kind == GW_REDIS_TCP) {
            return gw_redis_url_fail(url, "several hosts need "
                                     "\"redis+sentinel://\" or "
                                     "\"redis+cluster://\"");
        }

        host.start = host.end + 1;
    }
}


static int
gw_redis_url_host(gw_redis_url_t *url, gw_piece_t piece)
{
    gw_piece_t        name;
    gw_redis_host_t  *host;

    host = &url->hosts[url->nhosts];
    host->port = (url->kind == GW_REDIS_SENTINEL) ? GW_REDIS_SENTINEL_PORT
                                                  : GW_REDIS_PORT;

    if (piece.start < piece.end && *piece.start == '[') {
        if (gw_redis_url_ipv6(url, host, &piece) != 0) {
            return -1;
        }

    } else {
        name = piece;
        name.end = gw_piece_find(piece, ':');

        if (gw_redis_url_name(name, host->name) != 0) {
            return gw_redis_url_fail(url, "host must be 1 to 255 letters, "
                                     "digits, \".\", \"-\" and \"_\", or "
                                     "\"[IPv6]\"");
        }

        piece.start = name.end;
    }

    if (piece.start == piece.end) {
        return 0;
    }

    piece.start++;

    if (gw_piece_number(piece, 65535, &host->port) != 0 || host->port == 0) {
        return gw_redis_url_fail(url, "port must be an integer from 1 to "
                                 "65535");
    }

    return 0;
}


/* Takes "[...]" off the piece; nothing or ":" is left. */

static int
gw_redis_url_ipv6(gw_redis_url_t *url, gw_redis_host_t *host,
    gw_piece_t *piece)
{
    size_t       len;
    const char  *p, *end;

    end = gw_piece_find(*piece, ']');
    len = (size_t) (end - piece->start);

    for (p = piece->start + 1; p < end; p++) {
        if (gw_hex(*p) < 0 && *p != ':' && *p != '.') {
            break;
        }
    }

    if (p != end || end == piece->end || len < 3 || len > 46
        || (end + 1 < piece->end && end[1] != ':'))
    {
        return gw_redis_url_fail(url, "invalid IPv6 address in brackets");
    }

    memcpy(host->name, piece->start + 1, len - 1);
    host->name[len - 1] = '\0';
    host->ipv6 = 1;

    piece->start = end + 1;

    return 0;
}


/* "", "/", "/db", for Sentinel "/master" and "/master/db" */

static int
gw_redis_url_path(gw_redis_url_t *url, gw_piece_t piece)
{
    gw_piece_t  master;

    if (url->kind == GW_REDIS_SENTINEL) {

        if (piece.start < piece.end) {
            piece.start++;
        }

        master = piece;
        master.end = gw_piece_find(piece, '/');

        if (gw_redis_url_name(master, url->master) != 0) {
            return gw_redis_url_fail(url, "master's name must follow the "
                                     "hosts as \"/name\": letters, digits, "
                                     "\".\", \"-\" and \"_\"");
        }

        piece.start = master.end;
    }

    if (piece.end - piece.start <= 1) {
        return 0;
    }

    piece.start++;

    if (url->kind == GW_REDIS_CLUSTER) {
        return gw_redis_url_fail(url, "a cluster has no databases but 0");
    }

    return gw_redis_url_db(url, piece);
}


static int
gw_redis_url_db(gw_redis_url_t *url, gw_piece_t piece)
{
    if (gw_piece_number(piece, GW_REDIS_DB_MAX, &url->db) != 0) {
        return gw_redis_url_fail(url, "database must be an integer from 0 to "
                                 "2147483647");
    }

    return 0;
}


static int
gw_redis_url_name(gw_piece_t piece, char *dst)
{
    char         c, lower;
    size_t       len;
    const char  *p;

    len = gw_piece_len(piece);

    if (len == 0 || len > GW_REDIS_NAME_MAX) {
        return -1;
    }

    for (p = piece.start; p < piece.end; p++) {
        c = *p;
        lower = (char) (c | 0x20);

        if (!((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9')
              || c == '.' || c == '-' || c == '_'))
        {
            return -1;
        }
    }

    memcpy(dst, piece.start, len);
    dst[len] = '\0';

    return 0;
}


/* Decodes "%XX" into a string of at most max bytes without NULs. */

static int
gw_redis_url_string(gw_piece_t piece, char *dst, size_t max)
{
    size_t  len;

    if (gw_piece_decode(piece, dst, max, &len) != GW_PIECE_OK
        || memchr(dst, '\0', len) != NULL)
    {
        return -1;
    }

    dst[len] = '\0';

    return 0;
}


static int
gw_redis_url_fail(gw_redis_url_t *url, const char *error)
{
    url->error = error;

    return -1;
}
