
/*
 * URLs of Redis stores:
 *
 *   redis://[user:password@]host[:port][/db]
 *   redis+unix:/path[?db=N]
 *   redis+sentinel://[user:password@]host[:port][,...]/master[/db]
 *   redis+cluster://[user:password@]host[:port][,...]
 *
 * and the same but for sockets with "rediss" for TLS.
 * Only the text is taken apart here; names are resolved elsewhere.
 */


#ifndef GW_REDIS_URL_H
#define GW_REDIS_URL_H


#include <stddef.h>


#define GW_REDIS_PORT           6379
#define GW_REDIS_SENTINEL_PORT  26379
#define GW_REDIS_DB_MAX         2147483647u

#define GW_REDIS_HOSTS_MAX      16
#define GW_REDIS_NAME_MAX       255     /* of a host or a master, bytes */
#define GW_REDIS_PATH_MAX       107     /* what fits a sockaddr_un */
#define GW_REDIS_SECRET_MAX     511


typedef enum {
    GW_REDIS_TCP = 0,
    GW_REDIS_UNIX,
    GW_REDIS_SENTINEL,
    GW_REDIS_CLUSTER
} gw_redis_kind_t;


typedef struct {
    char               name[GW_REDIS_NAME_MAX + 1];   /* IPv6: no brackets */
    unsigned           port;
    unsigned           ipv6:1;
} gw_redis_host_t;


/* All strings are NUL-terminated, without NULs inside. */

typedef struct {
    gw_redis_kind_t    kind;
    unsigned           tls:1;
    unsigned           db;

    unsigned           nhosts;
    gw_redis_host_t    hosts[GW_REDIS_HOSTS_MAX];

    char               path[GW_REDIS_PATH_MAX + 1];     /* unix */
    char               master[GW_REDIS_NAME_MAX + 1];   /* sentinel */

    unsigned           has_user:1;
    unsigned           has_password:1;
    char               user[GW_REDIS_SECRET_MAX + 1];   /* decoded */
    char               password[GW_REDIS_SECRET_MAX + 1];

    const char        *error;
} gw_redis_url_t;


/*
 * Parses len bytes of text.  Returns 0; or -1 with url->error saying what is
 * wrong, which never quotes the text, since that may hold a password.
 */

int gw_redis_url_parse(gw_redis_url_t *url, const char *text, size_t len);


#endif /* GW_REDIS_URL_H */
