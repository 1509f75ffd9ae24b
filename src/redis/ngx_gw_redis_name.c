
/*
 * Names of servers; see ngx_gw_redis_name.h.
 *
 * A name is in no more than one thread at a time, whoever waits for it: one
 * that the system cannot find out about for a long time takes one thread of
 * the pool, and not all of them.
 */


#include "src/redis/ngx_gw_redis_name.h"
#include "src/common/ngx_gw_job.h"

#include <netdb.h>
#include <poll.h>
#include <sys/prctl.h>


typedef struct {
    ngx_queue_t            queue;       /* in ngx_gw_redis_lookups */
    ngx_queue_t            waiting;     /* ngx_gw_redis_name_t */
    ngx_gw_job_t           job;
    ngx_gw_redis_host_t    host;        /* the port is of no account */
    ngx_gw_redis_addrs_t   addrs;
} ngx_gw_redis_lookup_t;


static ngx_int_t ngx_gw_redis_name_literal(ngx_gw_redis_addrs_t *addrs,
    ngx_gw_redis_host_t *host);
static void ngx_gw_redis_name_ports(ngx_gw_redis_addrs_t *addrs,
    ngx_gw_redis_host_t *host);
static void ngx_gw_redis_name_system(ngx_gw_redis_addrs_t *addrs,
    ngx_gw_redis_host_t *host);
static void ngx_gw_redis_name_failed(ngx_gw_redis_addrs_t *addrs,
    ngx_gw_redis_host_t *host, const char *reason);

static ngx_int_t ngx_gw_redis_name_resolve(ngx_gw_redis_name_t *name);
static void ngx_gw_redis_name_resolved(ngx_resolver_ctx_t *ctx);

static void ngx_gw_redis_name_thread(ngx_gw_redis_name_t *name);
static ngx_gw_redis_lookup_t *ngx_gw_redis_name_lookup(
    ngx_gw_redis_name_t *name);
static void ngx_gw_redis_name_run(void *data);
static void ngx_gw_redis_name_ran(void *data);

static void ngx_gw_redis_name_child(ngx_gw_redis_host_t *host, int fd,
    ngx_pid_t parent);


/* Those of this process that are under way. */

static ngx_queue_t  ngx_gw_redis_lookups = {
    &ngx_gw_redis_lookups, &ngx_gw_redis_lookups
};


void
ngx_gw_redis_name_find(ngx_gw_redis_name_t *name, ngx_gw_redis_host_t *host)
{
    name->host = host;

    if (ngx_gw_redis_name_literal(&name->addrs, host) == NGX_OK) {
        name->done(name);
        return;
    }

    if (ngx_gw_redis_name_resolve(name) != NGX_OK) {
        ngx_gw_redis_name_thread(name);
    }
}


void
ngx_gw_redis_name_cancel(ngx_gw_redis_name_t *name)
{
    if (name->ctx != NULL) {
        ngx_resolve_name_done(name->ctx);
        name->ctx = NULL;
    }

    if (name->queued) {
        ngx_queue_remove(&name->queue);
        name->queued = 0;
    }
}


/* An address, or the path of a socket: nothing to be looked up. */

static ngx_int_t
ngx_gw_redis_name_literal(ngx_gw_redis_addrs_t *addrs,
    ngx_gw_redis_host_t *host)
{
    size_t               len;
    ngx_sockaddr_t      *sa;

    sa = &addrs->sockaddr[0];
    len = ngx_strlen(host->name);

    ngx_memzero(sa, sizeof(ngx_sockaddr_t));
    addrs->n = 1;

    if (host->port == 0) {
        sa->sockaddr_un.sun_family = AF_UNIX;
        (void) ngx_cpystrn((u_char *) sa->sockaddr_un.sun_path,
                           (u_char *) host->name,
                           sizeof(sa->sockaddr_un.sun_path));

        addrs->socklen[0] = sizeof(struct sockaddr_un);
        return NGX_OK;
    }

    sa->sockaddr_in.sin_addr.s_addr = ngx_inet_addr((u_char *) host->name,
                                                    len);

    if (sa->sockaddr_in.sin_addr.s_addr != INADDR_NONE) {
        sa->sockaddr_in.sin_family = AF_INET;
        addrs->socklen[0] = sizeof(struct sockaddr_in);

    } else {
#if (NGX_HAVE_INET6)
        ngx_memzero(sa, sizeof(ngx_sockaddr_t));

        if (ngx_inet6_addr((u_char *) host->name, len,
                           sa->sockaddr_in6.sin6_addr.s6_addr)
            != NGX_OK)
        {
            return NGX_DECLINED;
        }

        sa->sockaddr_in6.sin6_family = AF_INET6;
        addrs->socklen[0] = sizeof(struct sockaddr_in6);
#else
        return NGX_DECLINED;
#endif
    }

    ngx_gw_redis_name_ports(addrs, host);

    return NGX_OK;
}


static void
ngx_gw_redis_name_ports(ngx_gw_redis_addrs_t *addrs,
    ngx_gw_redis_host_t *host)
{
    ngx_uint_t  i;

    for (i = 0; i < addrs->n; i++) {
        ngx_inet_set_port(&addrs->sockaddr[i].sockaddr,
                          (in_port_t) host->port);
    }
}


/* Blocks. */

static void
ngx_gw_redis_name_system(ngx_gw_redis_addrs_t *addrs,
    ngx_gw_redis_host_t *host)
{
    int               rc;
    struct addrinfo   hints, *list, *ai;

    ngx_memzero(&hints, sizeof(struct addrinfo));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;

    addrs->n = 0;

    rc = getaddrinfo(host->name, NULL, &hints, &list);

    if (rc != 0) {
        ngx_gw_redis_name_failed(addrs, host, gai_strerror(rc));
        return;
    }

    for (ai = list; ai != NULL && addrs->n < NGX_GW_REDIS_ADDRS;
         ai = ai->ai_next)
    {
        if (ai->ai_addrlen > sizeof(ngx_sockaddr_t)
            || (ai->ai_family != AF_INET && ai->ai_family != AF_INET6))
        {
            continue;
        }

        ngx_memcpy(&addrs->sockaddr[addrs->n], ai->ai_addr, ai->ai_addrlen);
        addrs->socklen[addrs->n++] = ai->ai_addrlen;
    }

    freeaddrinfo(list);

    if (addrs->n == 0) {
        ngx_gw_redis_name_failed(addrs, host, "no addresses");
    }
}


static void
ngx_gw_redis_name_failed(ngx_gw_redis_addrs_t *addrs,
    ngx_gw_redis_host_t *host, const char *reason)
{
    u_char  *p;

    addrs->n = 0;

    p = ngx_snprintf((u_char *) addrs->reason, NGX_GW_REDIS_REASON - 1,
                     "host \"%s\" could not be resolved: %s", host->name,
                     reason);
    *p = '\0';
}


/* NGX_DECLINED: there is no resolver. */

static ngx_int_t
ngx_gw_redis_name_resolve(ngx_gw_redis_name_t *name)
{
    ngx_resolver_t      *resolver;
    ngx_resolver_ctx_t  *ctx;

    resolver = name->conf->resolver ? *name->conf->resolver : NULL;

    if (resolver == NULL || resolver->connections.nelts == 0) {
        return NGX_DECLINED;
    }

    ctx = ngx_resolve_start(resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return NGX_DECLINED;
    }

    ctx->name.data = (u_char *) name->host->name;
    ctx->name.len = ngx_strlen(name->host->name);
    ctx->handler = ngx_gw_redis_name_resolved;
    ctx->data = name;
    ctx->timeout = name->conf->timeout;
    ctx->cancelable = 1;

    name->ctx = ctx;

    /* it may have answered before this returns */

    if (ngx_resolve_name(ctx) != NGX_OK) {
        name->ctx = NULL;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_gw_redis_name_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t             i;
    ngx_gw_redis_name_t   *name;
    ngx_gw_redis_addrs_t  *addrs;

    name = ctx->data;
    addrs = &name->addrs;
    addrs->n = 0;

    if (ctx->state == NGX_OK) {

        for (i = 0; i < ctx->naddrs && i < NGX_GW_REDIS_ADDRS; i++) {
            addrs->socklen[i] = ctx->addrs[i].socklen;
            ngx_memcpy(&addrs->sockaddr[i], ctx->addrs[i].sockaddr,
                       ctx->addrs[i].socklen);
        }

        addrs->n = i;
        ngx_gw_redis_name_ports(addrs, name->host);
    }

    ngx_resolve_name_done(ctx);
    name->ctx = NULL;

    if (addrs->n == 0) {
        ngx_gw_redis_name_thread(name);
        return;
    }

    name->done(name);
}


static void
ngx_gw_redis_name_thread(ngx_gw_redis_name_t *name)
{
    ngx_gw_redis_lookup_t  *lookup;

    lookup = ngx_gw_redis_name_lookup(name);

    if (lookup == NULL) {
        ngx_gw_redis_name_failed(&name->addrs, name->host,
                                 "no thread to do it");
        name->done(name);
        return;
    }

    ngx_queue_insert_tail(&lookup->waiting, &name->queue);
    name->queued = 1;
}


/* The one that is under way, or a new one. */

static ngx_gw_redis_lookup_t *
ngx_gw_redis_name_lookup(ngx_gw_redis_name_t *name)
{
    ngx_queue_t            *q;
    ngx_gw_redis_lookup_t  *lookup;

    for (q = ngx_queue_head(&ngx_gw_redis_lookups);
         q != ngx_queue_sentinel(&ngx_gw_redis_lookups);
         q = ngx_queue_next(q))
    {
        lookup = ngx_queue_data(q, ngx_gw_redis_lookup_t, queue);

        if (ngx_strcmp(lookup->host.name, name->host->name) == 0) {
            return lookup;
        }
    }

    lookup = ngx_calloc(sizeof(ngx_gw_redis_lookup_t), name->log);

    if (lookup == NULL) {
        return NULL;
    }

    lookup->host = *name->host;
    lookup->job.run = ngx_gw_redis_name_run;
    lookup->job.done = ngx_gw_redis_name_ran;
    lookup->job.data = lookup;

    if (ngx_gw_job_start(&lookup->job) != NGX_OK) {
        ngx_free(lookup);
        return NULL;
    }

    ngx_queue_init(&lookup->waiting);
    ngx_queue_insert_tail(&ngx_gw_redis_lookups, &lookup->queue);

    return lookup;
}


static void
ngx_gw_redis_name_run(void *data)
{
    ngx_gw_redis_lookup_t  *lookup = data;

    ngx_gw_redis_name_system(&lookup->addrs, &lookup->host);
}


static void
ngx_gw_redis_name_ran(void *data)
{
    ngx_queue_t            *q;
    ngx_gw_redis_name_t    *name;
    ngx_gw_redis_lookup_t  *lookup = data;

    ngx_queue_remove(&lookup->queue);

    while (!ngx_queue_empty(&lookup->waiting)) {
        q = ngx_queue_head(&lookup->waiting);
        ngx_queue_remove(q);

        name = ngx_queue_data(q, ngx_gw_redis_name_t, queue);
        name->queued = 0;
        name->addrs = lookup->addrs;

        ngx_gw_redis_name_ports(&name->addrs, name->host);

        name->done(name);
    }

    ngx_free(lookup);
}


/* A child looks it up, as one can be ended that takes too long. */

ngx_int_t
ngx_gw_redis_name_wait(ngx_gw_redis_addrs_t *addrs,
    ngx_gw_redis_host_t *host, ngx_msec_t msec)
{
    int            pair[2];
    pid_t          pid, parent;
    ssize_t        n;
    struct pollfd  pfd;

    if (ngx_gw_redis_name_literal(addrs, host) == NGX_OK) {
        return NGX_OK;
    }

    if (socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0, pair) == -1) {
        ngx_gw_redis_name_failed(addrs, host, "socketpair() failed");
        return NGX_ERROR;
    }

    parent = getpid();
    pid = fork();

    if (pid == 0) {
        ngx_gw_redis_name_child(host, pair[1], parent);
    }

    (void) close(pair[1]);

    pfd.fd = pair[0];
    pfd.events = POLLIN;
    n = -1;

    if (pid != -1) {

        while (poll(&pfd, 1, (int) msec) == -1 && ngx_errno == NGX_EINTR) {
            /* a signal, of which there are few */
        }

        n = recv(pair[0], addrs, sizeof(ngx_gw_redis_addrs_t), MSG_DONTWAIT);

        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
    }

    (void) close(pair[0]);

    if (n != (ssize_t) sizeof(ngx_gw_redis_addrs_t)) {
        ngx_gw_redis_name_failed(addrs, host, "timed out");
    }

    ngx_gw_redis_name_ports(addrs, host);

    return addrs->n ? NGX_OK : NGX_ERROR;
}


static void
ngx_gw_redis_name_child(ngx_gw_redis_host_t *host, int fd, ngx_pid_t parent)
{
    ngx_gw_redis_addrs_t  addrs;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent) {
        _exit(1);
    }

    ngx_memzero(&addrs, sizeof(ngx_gw_redis_addrs_t));
    ngx_gw_redis_name_system(&addrs, host);

    (void) send(fd, &addrs, sizeof(ngx_gw_redis_addrs_t), 0);

    _exit(0);
}
