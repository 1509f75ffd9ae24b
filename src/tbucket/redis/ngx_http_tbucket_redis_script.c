
/*
 * Keys, scripts and arguments of the Redis store.  Scripts read all their
 * keys before they write, so that a key of a wrong type stops them before
 * anything has changed.
 */


#include <ngx_sha1.h>

#include "src/tbucket/global/ngx_http_tbucket_lease_script.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/*
 * A write: checks and change in one.  KEYS: clients, changes, epoch, tokens,
 * tokens set by the API.  ARGV: kind, id, capacity, rate, tokens, state of
 * tokens (none: they are leased), limits in force for a value that is
 * malformed.  Tokens are saved also while the node's name is that of a
 * predecessor who has died.
 */

static const char  ngx_http_tbucket_script_write[] =
    "local kind, id, capacity, rate, tokens, state = unpack(ARGV, 1, 6)\n"
    "if redis.replicate_commands then redis.replicate_commands() end\n"
    "local function limits(text)\n"
    "  local c, r = text:match('^{\"capacity\":(%d+),"
            "\"rate_per_sec\":(%d+%.?%d*)}$')\n"
    "  if not c then\n"
    "    local ok, t = pcall(cjson.decode, text)\n"
    "    if not ok or type(t) ~= 'table' then return end\n"
    "    for k in pairs(t) do\n"
    "      if k ~= 'capacity' and k ~= 'rate_per_sec' then return end\n"
    "    end\n"
    "    c, r = t.capacity, t.rate_per_sec\n"
    "    if type(c) ~= 'number' or type(r) ~= 'number' then return end\n"
    "    r = string.format('%.14g', r)\n"
    "  end\n"
    "  local nc, nr = tonumber(c), tonumber(r)\n"
    "  if nc < 1 or nc > 1000000 or nc % 1 ~= 0\n"
    "     or nr < 0.0000115 or nr > 1000000 then return end\n"
    "  return string.format('%d', nc), r\n"
    "end\n"
    "if redis.call('EXISTS', KEYS[3]) == 0 then return {'EPOCH'} end\n"
    "local old = redis.call('HGET', KEYS[1], id)\n"
    "redis.call('XLEN', KEYS[2])\n"
    "if old then\n"
    "  if kind == 'create' then return {'EXISTS'} end\n"
    "elseif kind == 'change' or kind == 'remove' then\n"
    "  return {'MISSING'}\n"
    "end\n"
    "if kind == 'change' then\n"
    "  local c, r = limits(old)\n"
    "  if not c then c, r = ARGV[7], ARGV[8] end\n"
    "  if capacity == '' then capacity = c end\n"
    "  if rate == '' then rate = r end\n"
    "  if capacity == '' or rate == '' then return {'MISSING'} end\n"
    "  if tokens ~= '' and tonumber(tokens) > tonumber(capacity) then\n"
    "    return {'RANGE', '0-0', capacity, rate}\n"
    "  end\n"
    "end\n"
    "if state ~= '' then\n"
    "  redis.call('HLEN', KEYS[4])\n"
    "  redis.call('HLEN', KEYS[5])\n"
    "end\n"
    "local seq = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '*',\n"
    "                       'id', id)\n"
    "if kind == 'remove' then\n"
    "  redis.call('HDEL', KEYS[1], id)\n"
    "else\n"
    "  redis.call('HSET', KEYS[1], id, '{\"capacity\":' .. capacity\n"
    "             .. ',\"rate_per_sec\":' .. rate .. '}')\n"
    "end\n"
    "if state ~= '' then\n"
    "  for i = 4, 5 do\n"
    "    redis.call('HSET', KEYS[i], id, state)\n"
    "    if redis.call('PTTL', KEYS[i]) < 0 then\n"
    "      redis.call('PEXPIRE', KEYS[i], 86400000)\n"
    "    end\n"
    "  end\n"
    "end\n"
    "return {old and 'OLD' or 'NEW', seq, capacity, rate}\n";


/*
 * Many clients, which are in a hash of their own: all or none.  More than
 * 1000 are named in the stream by entries of 100 ids, since Redis serves
 * nobody meanwhile.  KEYS: clients, changes, epoch, that hash.  ARGV: how
 * many.
 */

static const char  ngx_http_tbucket_script_bulk[] =
    "if redis.replicate_commands then redis.replicate_commands() end\n"
    "if redis.call('EXISTS', KEYS[3]) == 0 then return {'EPOCH'} end\n"
    "if redis.call('HLEN', KEYS[4]) ~= tonumber(ARGV[1]) then\n"
    "  return {'LOST'}\n"
    "end\n"
    "redis.call('HLEN', KEYS[1])\n"
    "redis.call('XLEN', KEYS[2])\n"
    "local all = redis.call('HGETALL', KEYS[4])\n"
    "local created, seq, ids = 0, '0-0', {}\n"
    "for i = 1, #all, 1000 do\n"
    "  local last = math.min(i + 999, #all)\n"
    "  created = created + redis.call('HSET', KEYS[1], unpack(all, i, last))\n"
    "end\n"
    "local many = #all > 2000 and 200 or 2\n"
    "for i = 1, #all, 2 do\n"
    "  ids[#ids + 1], ids[#ids + 2] = 'id', all[i]\n"
    "  if #ids == many or i + 1 == #all then\n"
    "    seq = redis.call('XADD', KEYS[2], '*', unpack(ids))\n"
    "    ids = {}\n"
    "  end\n"
    "end\n"
    "redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', 100000)\n"
    "redis.call('UNLINK', KEYS[4])\n"
    "return {'OLD', seq, created}\n";


/*
 * Clients as of the stream's last entry.  KEYS: clients, changes, epoch.
 * ARGV: "scan", cursor and count; or "get" and ids.  What is longer than any
 * id or value may be is cut, and is wrong all the same.
 */

static const char  ngx_http_tbucket_script_read[] =
    "local last, first, length = '0-0', '0-0', redis.call('XLEN', KEYS[2])\n"
    "if redis.call('EXISTS', KEYS[2]) == 1 then\n"
    "  local info = redis.call('XINFO', 'STREAM', KEYS[2])\n"
    "  for i = 1, #info, 2 do\n"
    "    if info[i] == 'last-generated-id' then last = info[i + 1] end\n"
    "    if info[i] == 'first-entry' and info[i + 1] then\n"
    "      first = info[i + 1][1]\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local time = redis.call('TIME')\n"
    "local now = time[1] .. string.format('%03d', "
            "math.floor(time[2] / 1000))\n"
    "local cursor, items, clients = '0', {}, 0\n"
    "if ARGV[1] == 'scan' or #ARGV > 1 then\n"
    "  clients = redis.call('HLEN', KEYS[1])\n"
    "end\n"
    "if ARGV[1] == 'scan' then\n"
    "  local page = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])\n"
    "  cursor, items = page[1], page[2]\n"
    "  for i = 1, #items do\n"
    "    if #items[i] > 1024 then items[i] = items[i]:sub(1, 1024) end\n"
    "  end\n"
    "elseif #ARGV > 1 then\n"
    "  local values = redis.call('HMGET', KEYS[1], unpack(ARGV, 2))\n"
    "  for i = 1, #values do\n"
    "    local v = values[i]\n"
    "    items[2 * i - 1], items[2 * i] = ARGV[i + 1], v and v:sub(1, 1024)\n"
    "  end\n"
    "end\n"
    "return {last, first, length, redis.call('GET', KEYS[3]) or '', now,\n"
    "        cursor, items, clients}\n";


/*
 * Gives clients back to a Redis that lost them; what is there already, stays.
 * An epoch that has lost its meaning goes first, so that nothing is written
 * to what is not whole.  KEYS: clients, epoch, guard.  ARGV: token, epoch as
 * it was seen, epoch to end with or none, ids and values.
 */

static const char  ngx_http_tbucket_script_seed[] =
    "if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then\n"
    "  return 'DONE'\n"
    "end\n"
    "local holder = redis.call('GET', KEYS[3])\n"
    "if holder and holder ~= ARGV[1] then return 'BUSY' end\n"
    "redis.call('SET', KEYS[3], ARGV[1], 'PX', 3000)\n"
    "if ARGV[2] ~= '' then redis.call('DEL', KEYS[2]) end\n"
    "for i = 4, #ARGV, 2 do\n"
    "  redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])\n"
    "end\n"
    "if ARGV[3] ~= '' then\n"
    "  redis.call('SET', KEYS[2], ARGV[3])\n"
    "  redis.call('DEL', KEYS[3])\n"
    "end\n"
    "return 'OK'\n";


/*
 * Replaces the token states of a node, if the name is its own; or only shows
 * that the node is alive ("beat"), and tries whether Redis would take what the
 * API may write.  KEYS: tokens, secret, node, the states that were sent, those
 * that the API has set, clients, changes.
 * ARGV: token, ms that the name is kept, mode, how many states, secret, ms
 * that states are kept, and the time (ms) by which what the API had set was
 * in the states that were sent: what it set later wins.
 */

static const char  ngx_http_tbucket_script_save[] =
    "if redis.replicate_commands then redis.replicate_commands() end\n"
    "local holder = redis.call('GET', KEYS[3])\n"
    "local taken = holder and holder ~= ARGV[1]\n"
    "if not taken then\n"
    "  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])\n"
    "end\n"
    "if ARGV[3] == 'beat' then\n"
    "  redis.call('HDEL', KEYS[6], '\\0')\n"
    "  redis.call('XTRIM', KEYS[7], 'MAXLEN', '~', 100000)\n"
    "  return taken and 'TAKEN' or 'OK'\n"
    "end\n"
    "if taken then\n"
    "  redis.call('DEL', KEYS[4])\n"
    "  return 'TAKEN'\n"
    "end\n"
    "if redis.call('HLEN', KEYS[4]) ~= tonumber(ARGV[4]) then\n"
    "  redis.call('DEL', KEYS[4])\n"
    "  return 'LOST'\n"
    "end\n"
    "redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[6])\n"
    "if ARGV[4] == '0' then\n"
    "  redis.call('DEL', KEYS[1])\n"
    "else\n"
    "  redis.call('RENAME', KEYS[4], KEYS[1])\n"
    "end\n"
    "local set = redis.call('HGETALL', KEYS[5])\n"
    "for i = 1, #set, 2 do\n"
    "  local at = tonumber(set[i + 1]:match('\"at\":(%d+)'))\n"
    "  if at and at >= tonumber(ARGV[7]) then\n"
    "    redis.call('HSET', KEYS[1], set[i], set[i + 1])\n"
    "  else\n"
    "    redis.call('HDEL', KEYS[5], set[i])\n"
    "  end\n"
    "end\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[6])\n"
    "if ARGV[3] == 'leave' then redis.call('DEL', KEYS[3]) end\n"
    "return 'OK'\n";


static const ngx_str_t  ngx_http_tbucket_scripts[] = {
    ngx_string(ngx_http_tbucket_script_write),
    ngx_string(ngx_http_tbucket_script_bulk),
    ngx_string(ngx_http_tbucket_script_read),
    ngx_string(ngx_http_tbucket_script_seed),
    ngx_string(ngx_http_tbucket_script_save),
    ngx_string(ngx_http_tbucket_script_lease)
};


static ngx_int_t ngx_http_tbucket_redis_key(ngx_http_tbucket_rzone_t *rz,
    ngx_pool_t *pool, ngx_str_t *key, const char *kind, ngx_str_t *node);


ngx_int_t
ngx_http_tbucket_redis_keys(ngx_http_tbucket_rzone_t *rz, ngx_pool_t *pool)
{
    ngx_uint_t   i;
    ngx_str_t   *node;

    node = &rz->redis->store->node;

    const struct {
        ngx_str_t   *key;
        const char  *kind;
        ngx_str_t   *node;
    } keys[] = {
        { &rz->clients, "clients", NULL },
        { &rz->changes, "changes", NULL },
        { &rz->epoch, "epoch", NULL },
        { &rz->guard, "seeding", NULL },
        { &rz->tokens, "tokens", node },
        { &rz->secret, "secret", node },
        { &rz->node, "node", node },
        { &rz->staged, "saving", node },
        { &rz->patched, "patched", node },
        { &rz->bucket, "bucket", NULL },
        { &rz->holders, "holders", NULL },
        { &rz->global_secret, "secret", NULL }
    };

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (ngx_http_tbucket_redis_key(rz, pool, keys[i].key, keys[i].kind,
                                       keys[i].node)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_redis_key(ngx_http_tbucket_rzone_t *rz, ngx_pool_t *pool,
    ngx_str_t *key, const char *kind, ngx_str_t *node)
{
    u_char     *p;
    ngx_str_t  *prefix;

    prefix = &rz->redis->store->prefix;

    key->data = ngx_pnalloc(pool, prefix->len + sizeof(":{}:") - 1
                                  + rz->zone->name.len + ngx_strlen(kind)
                                  + (node ? 1 + node->len : 0));
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(key->data, "%V:{%V}:%s", prefix, &rz->zone->name, kind);

    if (node != NULL) {
        p = ngx_sprintf(p, ":%V", node);
    }

    key->len = p - key->data;

    return NGX_OK;
}


void
ngx_http_tbucket_redis_scripts(ngx_http_tbucket_redis_t *redis)
{
    u_char       digest[20];
    ngx_sha1_t   sha1;
    ngx_uint_t   i;

    for (i = 0; i < NGX_HTTP_TBUCKET_SCRIPTS; i++) {
        ngx_sha1_init(&sha1);
        ngx_sha1_update(&sha1, ngx_http_tbucket_scripts[i].data,
                        ngx_http_tbucket_scripts[i].len);
        ngx_sha1_final(digest, &sha1);

        (void) ngx_hex_dump((u_char *) redis->sha1[i], digest, 20);
    }
}


void
ngx_http_tbucket_redis_begin(ngx_http_tbucket_redis_t *redis,
    ngx_http_tbucket_args_t *args, ngx_http_tbucket_script_e script,
    ngx_uint_t text, const char *nkeys)
{
    args->n = 0;

    if (text) {
        ngx_http_tbucket_redis_literal(args, "EVAL");
        ngx_http_tbucket_redis_str(args, &ngx_http_tbucket_scripts[script]);

    } else {
        ngx_http_tbucket_redis_literal(args, "EVALSHA");
        ngx_http_tbucket_redis_put(args, redis->sha1[script], 40);
    }

    ngx_http_tbucket_redis_put(args, nkeys, ngx_strlen(nkeys));
}


void
ngx_http_tbucket_redis_read(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args, ngx_uint_t text, const char *what)
{
    ngx_http_tbucket_redis_begin(rz->redis, args,
                                 NGX_HTTP_TBUCKET_SCRIPT_READ, text, "3");
    ngx_http_tbucket_redis_str(args, &rz->clients);
    ngx_http_tbucket_redis_str(args, &rz->changes);
    ngx_http_tbucket_redis_str(args, &rz->epoch);
    ngx_http_tbucket_redis_put(args, what, ngx_strlen(what));
}


ngx_uint_t
ngx_http_tbucket_redis_unknown(redisReply *reply, ngx_uint_t text)
{
    return !text && reply->type == REDIS_REPLY_ERROR
           && ngx_strncmp(reply->str, "NOSCRIPT", 8) == 0;
}


ngx_uint_t
ngx_http_tbucket_redis_is(redisReply *reply, const char *word)
{
    return reply->type == REDIS_REPLY_STRING
           && ngx_strcmp(reply->str, word) == 0;
}


ngx_int_t
ngx_http_tbucket_redis_view(ngx_http_tbucket_view_t *view, redisReply *reply)
{
    ngx_int_t     time;
    ngx_uint_t    i;
    redisReply  **e;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 8) {
        return NGX_ERROR;
    }

    e = reply->element;

    for (i = 0; i < 6; i++) {
        if (e[i]->type != (i == 2 ? REDIS_REPLY_INTEGER
                                  : REDIS_REPLY_STRING))
        {
            return NGX_ERROR;
        }
    }

    time = ngx_atoi((u_char *) e[4]->str, e[4]->len);

    if (time == NGX_ERROR
        || e[3]->len >= NGX_HTTP_TBUCKET_EPOCH_SIZE
        || ngx_strlen(e[3]->str) != (size_t) e[3]->len
        || e[5]->len > 20
        || e[6]->type != REDIS_REPLY_ARRAY || e[6]->elements % 2 != 0
        || e[7]->type != REDIS_REPLY_INTEGER || e[7]->integer < 0
        || e[7]->integer > UINT32_MAX
        || !tb_stream_id_parse(&view->last, e[0]->str, e[0]->len)
        || !tb_stream_id_parse(&view->first, e[1]->str, e[1]->len))
    {
        return NGX_ERROR;
    }

    view->length = e[2]->integer;
    view->epoch.data = (u_char *) e[3]->str;
    view->epoch.len = e[3]->len;
    view->time = (uint64_t) time;
    view->cursor.data = (u_char *) e[5]->str;
    view->cursor.len = e[5]->len;
    view->items = e[6];
    view->clients = (uint32_t) e[7]->integer;

    return NGX_OK;
}
