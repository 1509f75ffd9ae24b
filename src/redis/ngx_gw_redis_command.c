
/*
 * Commands under way; see ngx_gw_redis_command.h.
 *
 * One that a node of a cluster refuses because of its slot was not executed,
 * and is sent to the right one, or again a little later.  It is parked until
 * that node is connected.  A reply of any other kind is the caller's.
 */


#include "src/redis/ngx_gw_redis_command.h"
#include "src/core/text/gw_redis_reason.h"


#define NGX_GW_REDIS_TRIES   8      /* redirections */
#define NGX_GW_REDIS_PARKED  10     /* ms between looks at the parked */
#define NGX_GW_REDIS_AGAIN   20     /* ms, doubled each time, up to */
#define NGX_GW_REDIS_LONG    160


typedef struct {
    ngx_gw_redis_call_t        call;
    ngx_queue_t                queue;
    ngx_gw_redis_commands_t   *commands;
    ngx_gw_redis_reply_pt      callback;    /* NULL: nobody asks any more */
    void                      *data;
    char                      *bytes;       /* NULL: not sent again */
    int                        len;
    ngx_int_t                  slot;        /* -1: none */
    ngx_gw_redis_server_t     *server;
    ngx_msec_t                 due;         /* of one that is parked */
    ngx_uint_t                 tries;
    ngx_uint_t                 delays;
    unsigned                   parked:1;
    unsigned                   asking:1;    /* ASKING has to go before it */
    unsigned                   loaded:1;    /* scripts, because of it */
} ngx_gw_redis_command_t;


static ngx_gw_redis_command_t *ngx_gw_redis_command_get(
    ngx_gw_redis_commands_t *commands);
static ngx_int_t ngx_gw_redis_command_dispatch(
    ngx_gw_redis_command_t *command);
static ngx_int_t ngx_gw_redis_command_send(ngx_gw_redis_command_t *command);
static ngx_int_t ngx_gw_redis_command_aside(ngx_gw_redis_command_t *command,
    int argc, const char **argv);
static void ngx_gw_redis_command_park(ngx_gw_redis_command_t *command,
    ngx_msec_t delay);

static void ngx_gw_redis_command_answered(ngx_gw_redis_call_t *call,
    redisReply *reply);
static ngx_int_t ngx_gw_redis_command_again(ngx_gw_redis_command_t *command,
    redisReply *reply);
static ngx_int_t ngx_gw_redis_command_load(ngx_gw_redis_command_t *command);
static ngx_int_t ngx_gw_redis_command_delayed(
    ngx_gw_redis_command_t *command);
static void ngx_gw_redis_command_done(ngx_gw_redis_command_t *command,
    redisReply *reply);
static void ngx_gw_redis_command_end(ngx_gw_redis_command_t *command,
    const char *reason);
static void ngx_gw_redis_command_remove(ngx_gw_redis_command_t *command);

static ngx_gw_redis_command_t *ngx_gw_redis_command_due(
    ngx_gw_redis_commands_t *commands);
static void ngx_gw_redis_command_timer(ngx_event_t *ev);


void
ngx_gw_redis_commands_init(ngx_gw_redis_commands_t *commands)
{
    ngx_queue_init(&commands->live);
    ngx_queue_init(&commands->spare);

    commands->timer.handler = ngx_gw_redis_command_timer;
    commands->timer.data = commands;
    commands->timer.log = commands->log;
    commands->timer.cancelable = 1;
}


ngx_int_t
ngx_gw_redis_commands_send(ngx_gw_redis_commands_t *commands,
    ngx_gw_redis_ask_t *ask, ngx_uint_t argc, const char **argv,
    const size_t *argvlen)
{
    ngx_gw_redis_command_t  *command;

    command = ngx_gw_redis_command_get(commands);

    if (command == NULL) {
        return NGX_ERROR;
    }

    command->slot = (commands->conf->kind == GW_REDIS_CLUSTER)
                    ? gw_redis_command_slot(argc, argv, argvlen) : -1;
    command->server = commands->route(commands->redis, command->slot);

    if (command->server == NULL
        || command->server->state == NGX_GW_REDIS_DOWN)
    {
        ngx_gw_redis_reason(commands->reason,
                            command->server ? command->server->reason
                                            : "nobody serves the key's slot");
        ngx_queue_insert_head(&commands->spare, &command->queue);
        return NGX_ERROR;
    }

    command->len = redisFormatCommandArgv(&command->bytes, (int) argc, argv,
                                          argvlen);
    if (command->len < 0) {
        ngx_gw_redis_reason(commands->reason, "out of memory");
        ngx_queue_insert_head(&commands->spare, &command->queue);
        return NGX_ERROR;
    }

    command->callback = ask->callback;
    command->data = ask->data;
    command->call.most = ask->most;
    command->call.background = ask->background;
    command->call.deadline = ngx_current_msec + ask->timeout;

    ngx_queue_insert_tail(&commands->live, &command->queue);
    commands->nholding += !ask->background;

    if (ngx_gw_redis_command_dispatch(command) != NGX_OK) {
        ngx_gw_redis_reason(commands->reason, command->server->link.reason);
        ngx_gw_redis_command_remove(command);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_gw_redis_command_t *
ngx_gw_redis_command_get(ngx_gw_redis_commands_t *commands)
{
    ngx_queue_t             *q;
    ngx_gw_redis_command_t  *command;

    if (!ngx_queue_empty(&commands->spare)) {
        q = ngx_queue_head(&commands->spare);
        ngx_queue_remove(q);
        command = ngx_queue_data(q, ngx_gw_redis_command_t, queue);

    } else {
        command = ngx_alloc(sizeof(ngx_gw_redis_command_t), commands->log);

        if (command == NULL) {
            ngx_gw_redis_reason(commands->reason, "out of memory");
            return NULL;
        }
    }

    ngx_memzero(command, sizeof(ngx_gw_redis_command_t));

    command->commands = commands;
    command->call.answer = ngx_gw_redis_command_answered;
    command->call.data = command;

    return command;
}


/* To its server, or to where it waits for that. */

static ngx_int_t
ngx_gw_redis_command_dispatch(ngx_gw_redis_command_t *command)
{
    ngx_gw_redis_server_open(command->server);

    if (command->server->state == NGX_GW_REDIS_READY) {
        return ngx_gw_redis_command_send(command);
    }

    ngx_gw_redis_command_park(command, 0);

    return NGX_OK;
}


static ngx_int_t
ngx_gw_redis_command_send(ngx_gw_redis_command_t *command)
{
    const char  *asking;

    if (command->asking) {
        asking = "ASKING";

        if (ngx_gw_redis_command_aside(command, 1, &asking) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_gw_redis_link_send(&command->server->link, &command->call,
                                  command->bytes, command->len);
}


/* Sends what goes before a command and whose reply is of no account. */

static ngx_int_t
ngx_gw_redis_command_aside(ngx_gw_redis_command_t *command, int argc,
    const char **argv)
{
    int                      i, len;
    char                    *bytes;
    size_t                   argvlen[3];
    ngx_int_t                rc;
    ngx_gw_redis_command_t  *aside;

    aside = ngx_gw_redis_command_get(command->commands);

    if (aside == NULL) {
        return NGX_ERROR;
    }

    aside->server = command->server;
    aside->call.most = GW_REDIS_REPLY;
    aside->call.deadline = command->call.deadline;
    aside->call.background = 1;

    for (i = 0; i < argc; i++) {
        argvlen[i] = ngx_strlen(argv[i]);
    }

    rc = NGX_ERROR;
    len = redisFormatCommandArgv(&bytes, argc, argv, argvlen);

    if (len >= 0) {
        rc = ngx_gw_redis_link_send(&command->server->link, &aside->call,
                                    bytes, len);
        redisFreeCommand(bytes);
    }

    ngx_queue_insert_tail(rc == NGX_OK ? &command->commands->live
                                       : &command->commands->spare,
                          &aside->queue);

    return rc;
}


static void
ngx_gw_redis_command_park(ngx_gw_redis_command_t *command, ngx_msec_t delay)
{
    ngx_gw_redis_commands_t  *commands;

    commands = command->commands;

    command->parked = 1;
    command->due = ngx_current_msec + delay;

    commands->nparked++;
    commands->timer.cancelable = (commands->nholding == 0);

    if (!commands->timer.timer_set) {
        ngx_add_timer(&commands->timer, NGX_GW_REDIS_PARKED);
    }
}


static void
ngx_gw_redis_command_answered(ngx_gw_redis_call_t *call, redisReply *reply)
{
    u_char                  *p;
    ngx_gw_redis_command_t  *command;

    command = call->data;

    if (reply != NULL && reply->type == REDIS_REPLY_ERROR
        && command->bytes != NULL
        && ngx_gw_redis_command_again(command, reply) == NGX_OK)
    {
        return;
    }

    if (reply == NULL) {
        command->commands->unbound = command->server->link.unbound;

        p = ngx_snprintf((u_char *) command->commands->reason,
                         NGX_GW_REDIS_FATE - 1,
                         "%s, the outcome is unknown",
                         command->server->link.reason);
        *p = '\0';
    }

    ngx_gw_redis_command_done(command, reply);
}


/* NGX_OK: it is on its way again; NGX_DECLINED: this is the answer. */

static ngx_int_t
ngx_gw_redis_command_again(ngx_gw_redis_command_t *command,
    redisReply *reply)
{
    unsigned                  slot;
    gw_redis_node_t           node;
    gw_redis_redirect_t       kind;
    ngx_gw_redis_server_t    *server;
    ngx_gw_redis_commands_t  *commands;

    commands = command->commands;

    if (gw_redis_reason_is(reply->str, "NOSCRIPT")) {
        return ngx_gw_redis_command_load(command);
    }

    if (commands->conf->kind != GW_REDIS_CLUSTER) {
        return NGX_DECLINED;
    }

    /* as long as there is time */

    if (gw_redis_reason_is(reply->str, "TRYAGAIN")
        || gw_redis_reason_is(reply->str, "CLUSTERDOWN"))
    {
        return ngx_gw_redis_command_delayed(command);
    }

    if (command->tries++ >= NGX_GW_REDIS_TRIES) {
        return NGX_DECLINED;
    }

    kind = gw_redis_redirect(reply->str, reply->len, &slot, &node);

    if (kind == GW_REDIS_NOT_MOVED) {
        return NGX_DECLINED;
    }

    server = commands->moved(commands->redis, kind, slot, &node,
                             command->server);
    if (server == NULL) {
        return NGX_DECLINED;
    }

    command->asking = (kind == GW_REDIS_ASK);
    command->server = server;

    return ngx_gw_redis_command_dispatch(command) == NGX_OK ? NGX_OK
                                                            : NGX_DECLINED;
}


/* Redis has lost its scripts: SCRIPT FLUSH, or another process there. */

static ngx_int_t
ngx_gw_redis_command_load(ngx_gw_redis_command_t *command)
{
    ngx_uint_t            i;
    const char           *argv[3];
    ngx_gw_redis_conf_t  *conf;

    conf = command->commands->conf;

    if (command->loaded || conf->nscripts == 0) {
        return NGX_DECLINED;
    }

    command->loaded = 1;

    argv[0] = "SCRIPT";
    argv[1] = "LOAD";

    for (i = 0; i < conf->nscripts; i++) {
        argv[2] = (char *) conf->scripts[i].text.data;

        if (ngx_gw_redis_command_aside(command, 3, argv) != NGX_OK) {
            return NGX_DECLINED;
        }
    }

    return ngx_gw_redis_command_send(command) == NGX_OK ? NGX_OK
                                                        : NGX_DECLINED;
}


static ngx_int_t
ngx_gw_redis_command_delayed(ngx_gw_redis_command_t *command)
{
    ngx_msec_t      delay;
    ngx_msec_int_t  left;

    delay = ngx_min((ngx_msec_t) NGX_GW_REDIS_AGAIN << command->delays,
                    NGX_GW_REDIS_LONG);
    left = (ngx_msec_int_t) (command->call.deadline - ngx_current_msec);

    /* with some time for the answer */

    if (left <= 2 * (ngx_msec_int_t) delay) {
        return NGX_DECLINED;
    }

    command->delays += (delay < NGX_GW_REDIS_LONG);
    command->asking = 0;
    ngx_gw_redis_command_park(command, delay);

    return NGX_OK;
}


static void
ngx_gw_redis_command_done(ngx_gw_redis_command_t *command, redisReply *reply)
{
    void                     *data;
    ngx_gw_redis_server_t    *server;
    ngx_gw_redis_reply_pt     callback;
    ngx_gw_redis_commands_t  *commands;

    commands = command->commands;
    callback = command->callback;
    data = command->data;
    server = command->server;

    ngx_gw_redis_command_remove(command);

    if (callback != NULL) {
        callback(commands->redis, reply, data);
    }

    /*
     * It goes on answering, although its address, or what Sentinel says,
     * leads to another one by now.
     */

    if (reply != NULL && ngx_gw_redis_is_demoted(reply)) {
        ngx_gw_redis_server_close(server, NGX_GW_REDIS_DEMOTED);
    }

    commands->answered(commands->redis);
}


/* One that was parked and will not be sent. */

static void
ngx_gw_redis_command_end(ngx_gw_redis_command_t *command, const char *reason)
{
    command->commands->unbound = 0;

    ngx_gw_redis_reason(command->commands->reason, reason);
    ngx_gw_redis_command_done(command, NULL);
}


static void
ngx_gw_redis_command_remove(ngx_gw_redis_command_t *command)
{
    ngx_gw_redis_commands_t  *commands;

    commands = command->commands;

    if (command->bytes != NULL) {
        redisFreeCommand(command->bytes);
        commands->nholding -= !command->call.background;
    }

    commands->nparked -= command->parked;

    ngx_queue_remove(&command->queue);
    ngx_queue_insert_head(&commands->spare, &command->queue);
}


ngx_uint_t
ngx_gw_redis_is_demoted(redisReply *reply)
{
    char  reason[NGX_GW_REDIS_REASON];

    if (reply->type != REDIS_REPLY_ERROR) {
        return 0;
    }

    gw_redis_reason(reason, sizeof(reason), reply->str, reply->len);

    return gw_redis_reason_is(reason, "READONLY")
           || gw_redis_reason_is(reason, "UNBLOCKED");
}


/* What calls back may send, forget or close: begin anew after each. */

void
ngx_gw_redis_commands_resume(ngx_gw_redis_commands_t *commands)
{
    ngx_gw_redis_server_t   *server;
    ngx_gw_redis_command_t  *command;

    while (commands->nparked > 0) {
        command = ngx_gw_redis_command_due(commands);

        if (command == NULL) {
            break;
        }

        server = command->server;
        command->parked = 0;
        commands->nparked--;

        if (server == NULL) {
            ngx_gw_redis_command_end(command, "nobody serves the key's slot");

        } else if (server->state == NGX_GW_REDIS_DOWN) {
            ngx_gw_redis_command_end(command, server->reason);

        } else if (server->state != NGX_GW_REDIS_READY) {
            ngx_gw_redis_command_end(command, "timed out");

        } else if (ngx_gw_redis_command_send(command) != NGX_OK) {
            ngx_gw_redis_command_end(command, server->link.reason);
        }
    }

    if (commands->nparked == 0 && commands->timer.timer_set) {
        ngx_del_timer(&commands->timer);
    }
}


/* The first one that need not, or may not, wait any longer. */

static ngx_gw_redis_command_t *
ngx_gw_redis_command_due(ngx_gw_redis_commands_t *commands)
{
    ngx_queue_t             *q;
    ngx_gw_redis_command_t  *command;

    for (q = ngx_queue_head(&commands->live);
         q != ngx_queue_sentinel(&commands->live);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_gw_redis_command_t, queue);

        if (!command->parked
            || (ngx_msec_int_t) (command->due - ngx_current_msec) > 0)
        {
            continue;
        }

        if (!command->asking) {
            command->server = commands->route(commands->redis,
                                              command->slot);
        }

        if (command->server == NULL
            || command->server->state == NGX_GW_REDIS_READY
            || command->server->state == NGX_GW_REDIS_DOWN
            || (ngx_msec_int_t) (command->call.deadline - ngx_current_msec)
               <= 0)
        {
            return command;
        }
    }

    return NULL;
}


static void
ngx_gw_redis_command_timer(ngx_event_t *ev)
{
    ngx_gw_redis_commands_t  *commands = ev->data;

    ngx_gw_redis_commands_resume(commands);

    if (commands->nparked > 0 && !ev->timer_set) {
        ngx_add_timer(ev, NGX_GW_REDIS_PARKED);
    }
}


ngx_uint_t
ngx_gw_redis_commands_at(ngx_gw_redis_commands_t *commands,
    ngx_gw_redis_server_t *server)
{
    ngx_queue_t             *q;
    ngx_gw_redis_command_t  *command;

    for (q = ngx_queue_head(&commands->live);
         q != ngx_queue_sentinel(&commands->live);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_gw_redis_command_t, queue);

        if (command->server == server) {
            return 1;
        }
    }

    return 0;
}


void
ngx_gw_redis_commands_forget(ngx_gw_redis_commands_t *commands, void *data)
{
    ngx_queue_t             *q;
    ngx_gw_redis_command_t  *command;

    for (q = ngx_queue_head(&commands->live);
         q != ngx_queue_sentinel(&commands->live);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_gw_redis_command_t, queue);

        if (command->data == data) {
            command->callback = NULL;
        }
    }
}


void
ngx_gw_redis_commands_close(ngx_gw_redis_commands_t *commands)
{
    ngx_queue_t             *q, *next;
    ngx_gw_redis_command_t  *command;

    if (commands->timer.timer_set) {
        ngx_del_timer(&commands->timer);
    }

    for (q = ngx_queue_head(&commands->live);
         q != ngx_queue_sentinel(&commands->live);
         q = next)
    {
        next = ngx_queue_next(q);
        command = ngx_queue_data(q, ngx_gw_redis_command_t, queue);

        if (command->parked) {
            ngx_gw_redis_command_end(command, "closed");

            /* what was called back may have done anything */

            next = ngx_queue_head(&commands->live);
        }
    }

    while (!ngx_queue_empty(&commands->spare)) {
        q = ngx_queue_head(&commands->spare);
        ngx_queue_remove(q);
        ngx_free(ngx_queue_data(q, ngx_gw_redis_command_t, queue));
    }
}
