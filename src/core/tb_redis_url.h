
/*
 * URLs of Redis stores:
 *
 *   redis://[user:password@]host[:port][/db]
 *   redis+unix:/path[?db=N]
 *   redis+sentinel://[user:password@]host[:port][,...]/master[/db]
 *
 * Only the text is taken apart here; names are resolved elsewhere.
 */


#ifndef TB_REDIS_URL_H
#define TB_REDIS_URL_H


#include <stddef.h>


#define TB_REDIS_PORT           6379
#define TB_REDIS_SENTINEL_PORT  26379
#define TB_REDIS_DB_MAX         2147483647u

#define TB_REDIS_HOSTS_MAX      16
#define TB_REDIS_NAME_MAX       255     /* of a host or a master, bytes */
#define TB_REDIS_PATH_MAX       107     /* what fits a sockaddr_un */
#define TB_REDIS_SECRET_MAX     511


typedef enum {
    TB_REDIS_TCP = 0,
    TB_REDIS_UNIX,
    TB_REDIS_SENTINEL
} tb_redis_kind_t;


typedef struct {
    char               name[TB_REDIS_NAME_MAX + 1];   /* IPv6: no brackets */
    unsigned           port;
    unsigned           ipv6:1;
} tb_redis_host_t;


/* All strings are NUL-terminated, without NULs inside. */

typedef struct {
    tb_redis_kind_t    kind;
    unsigned           db;

    unsigned           nhosts;
    tb_redis_host_t    hosts[TB_REDIS_HOSTS_MAX];

    char               path[TB_REDIS_PATH_MAX + 1];     /* unix */
    char               master[TB_REDIS_NAME_MAX + 1];   /* sentinel */

    unsigned           has_user:1;
    unsigned           has_password:1;
    char               user[TB_REDIS_SECRET_MAX + 1];   /* decoded */
    char               password[TB_REDIS_SECRET_MAX + 1];

    const char        *error;
} tb_redis_url_t;


/*
 * Parses len bytes of text.  Returns 0; or -1 with url->error saying what is
 * wrong, which never quotes the text, since that may hold a password.
 */

int tb_redis_url_parse(tb_redis_url_t *url, const char *text, size_t len);


#endif /* TB_REDIS_URL_H */
