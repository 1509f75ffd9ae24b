
/*
 * What the lease script finds in Redis, for running it in this process: TIME,
 * MGET, and SET with PX over a few keys in memory; struct.pack() and
 * struct.unpack() for the formats that it uses.  Time is the caller's.
 */


#ifndef TB_LEASE_REDIS_H
#define TB_LEASE_REDIS_H


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "ngx_gw_scripts.h"
#include "src/core/lease/tb_lease.h"


/* key "0" is the nodes', "1" and so on are buckets' */
#define REDIS_KEYS   20
#define REDIS_VALUE  2048


typedef struct {
    size_t      len;               /* 0: there is none */
    double      expires;           /* us; 0: never */
    char        value[REDIS_VALUE];
} redis_key_t;


typedef struct {
    lua_State  *lua;
    double      now;               /* us */
    redis_key_t keys[REDIS_KEYS];
} redis_t;


/* What is put in place of what, to break the script on purpose. */

typedef struct {
    const char  *from;             /* NULL: nothing */
    const char  *to;
} redis_edit_t;


static inline redis_key_t *
redis_key(lua_State *lua, redis_t *r, int arg)
{
    redis_key_t  *key;
    const char   *name;

    name = luaL_checkstring(lua, arg);
    luaL_argcheck(lua, name[0] >= '0' && name[0] < '0' + REDIS_KEYS
                       && name[1] == '\0', arg, "no such key");

    key = &r->keys[name[0] - '0'];

    if (key->expires != 0 && key->expires <= r->now) {
        key->len = 0;
    }

    return key;
}


static inline int
redis_time(lua_State *lua, const redis_t *r)
{
    uint64_t  us;

    us = (uint64_t) r->now;

    lua_newtable(lua);
    lua_pushfstring(lua, "%f", (double) (us / 1000000));
    lua_rawseti(lua, -2, 1);
    lua_pushfstring(lua, "%d", (int) (us % 1000000));
    lua_rawseti(lua, -2, 2);

    return 1;
}


static inline int
redis_mget(lua_State *lua, redis_t *r)
{
    int           i, n;
    redis_key_t  *key;

    n = lua_gettop(lua);
    lua_newtable(lua);

    for (i = 2; i <= n; i++) {
        key = redis_key(lua, r, i);

        if (key->len != 0) {
            lua_pushlstring(lua, key->value, key->len);

        } else {
            lua_pushboolean(lua, 0);
        }

        lua_rawseti(lua, -2, i - 1);
    }

    return 1;
}


static inline int
redis_set(lua_State *lua, redis_t *r)
{
    size_t        len;
    const char   *value;
    redis_key_t  *key;

    key = redis_key(lua, r, 2);
    value = luaL_checklstring(lua, 3, &len);
    luaL_argcheck(lua, len != 0 && len <= REDIS_VALUE, 3, "length");

    memcpy(key->value, value, len);
    key->len = len;
    key->expires = 0;

    if (lua_gettop(lua) > 3) {
        luaL_argcheck(lua, strcmp(luaL_checkstring(lua, 4), "PX") == 0, 4,
                      "not PX");
        key->expires = r->now + luaL_checknumber(lua, 5) * 1000;
    }

    return 0;
}


static int
redis_command(lua_State *lua)
{
    redis_t     *r;
    const char  *name;

    r = lua_touserdata(lua, lua_upvalueindex(1));
    name = luaL_checkstring(lua, 1);

    if (strcmp(name, "TIME") == 0) {
        return redis_time(lua, r);
    }

    if (strcmp(name, "MGET") == 0) {
        return redis_mget(lua, r);
    }

    if (strcmp(name, "SET") == 0) {
        return redis_set(lua, r);
    }

    return luaL_error(lua, "no command %s", name);
}


/* The size of the next item of a format, which moves behind it. */

static inline size_t
redis_item(lua_State *lua, const char **format, char *kind)
{
    size_t  size;

    if (**format == '<') {
        (*format)++;
    }

    *kind = *(*format)++;

    switch (*kind) {

    case 'B':
        return 1;

    case 'd':
        return sizeof(double);

    case 'I':
    case 'c':
        size = strtoul(*format, (char **) format, 10);
        luaL_argcheck(lua, *kind == 'c' || size == 4, 1, "not I4");
        return size;

    default:
        return luaL_argerror(lua, 1, "format");
    }
}


/* Numbers as this machine has them, which is little endian. */

static int
redis_unpack(lua_State *lua)
{
    int          n;
    char         kind;
    double       d;
    size_t       len, pos, size;
    uint32_t     u;
    const char  *format, *s;

    format = luaL_checkstring(lua, 1);
    s = luaL_checklstring(lua, 2, &len);
    pos = (size_t) luaL_optinteger(lua, 3, 1) - 1;

    for (n = 0; *format != '\0'; n++) {
        size = redis_item(lua, &format, &kind);
        luaL_argcheck(lua, pos <= len && size <= len - pos, 2, "too short");

        switch (kind) {

        case 'B':
            lua_pushnumber(lua, (unsigned char) s[pos]);
            break;

        case 'I':
            memcpy(&u, s + pos, sizeof(u));
            lua_pushnumber(lua, u);
            break;

        case 'd':
            memcpy(&d, s + pos, sizeof(d));
            lua_pushnumber(lua, d);
            break;

        default:
            lua_pushlstring(lua, s + pos, size);
            break;
        }

        pos += size;
    }

    lua_pushnumber(lua, (double) pos + 1);

    return n + 1;
}


static int
redis_pack(lua_State *lua)
{
    int          arg;
    char         kind;
    double       d;
    size_t       len, size;
    uint32_t     u;
    const char  *format, *s;
    luaL_Buffer  buf;

    format = luaL_checkstring(lua, 1);
    luaL_buffinit(lua, &buf);

    for (arg = 2; *format != '\0'; arg++) {
        size = redis_item(lua, &format, &kind);

        if (kind == 'c') {
            s = luaL_checklstring(lua, arg, &len);
            luaL_argcheck(lua, len >= size, arg, "too short");
            luaL_addlstring(&buf, s, size);
            continue;
        }

        d = luaL_checknumber(lua, arg);
        u = (uint32_t) d;

        if (kind == 'd') {
            luaL_addlstring(&buf, (char *) &d, sizeof(d));

        } else {
            luaL_addlstring(&buf, (char *) &u, size);
        }
    }

    luaL_pushresult(&buf);

    return 1;
}


static inline void
redis_function(redis_t *r, const char *library, const char *name,
    lua_CFunction function)
{
    lua_State  *lua;

    lua = r->lua;

    lua_getglobal(lua, library);

    if (lua_isnil(lua, -1)) {
        lua_newtable(lua);
        lua_pushvalue(lua, -1);
        lua_setglobal(lua, library);
    }

    lua_pushlightuserdata(lua, r);
    lua_pushcclosure(lua, function, 1);
    lua_setfield(lua, -2, name);
    lua_settop(lua, 0);
}


/* An empty Redis, which has its time from r; it stays where it is. */

static inline void
redis_open(redis_t *r, redis_edit_t edit)
{
    const char  *script;

    memset(r, 0, sizeof(redis_t));

    r->lua = luaL_newstate();
    assert_non_null(r->lua);
    luaL_openlibs(r->lua);

    redis_function(r, "redis", "call", redis_command);
    redis_function(r, "struct", "pack", redis_pack);
    redis_function(r, "struct", "unpack", redis_unpack);

    script = ngx_gw_script_lease;

    if (edit.from != NULL) {
        assert_non_null(strstr(script, edit.from));
        script = luaL_gsub(r->lua, script, edit.from, edit.to);
    }

    assert_int_equal(luaL_loadstring(r->lua, script), 0);
    lua_setglobal(r->lua, "lease");
    lua_settop(r->lua, 0);
}


static inline void
redis_close(redis_t *r)
{
    lua_close(r->lua);
}


/* Redis loses everything. */

static inline void
redis_flush(redis_t *r)
{
    memset(r->keys, 0, sizeof(r->keys));
}


/*
 * A call about n buckets, of which which[] are the indices, at wall (us).
 * Returns the length of the reply.
 */

static inline size_t
redis_call(redis_t *r, const unsigned char *head, const unsigned char *parts,
    unsigned n, const unsigned *which, double wall, unsigned char *out,
    size_t size)
{
    char         name[2] = "0";
    size_t       len;
    unsigned     i;
    lua_State   *lua;
    const char  *reply;

    r->now = wall;
    lua = r->lua;

    lua_getglobal(lua, "lease");

    lua_createtable(lua, (int) n + 1, 0);

    for (i = 0; i <= n; i++) {
        name[0] = (char) ('0' + (i == 0 ? 0 : 1 + which[i - 1]));
        lua_pushstring(lua, name);
        lua_rawseti(lua, -2, (int) i + 1);
    }

    lua_setglobal(lua, "KEYS");

    lua_createtable(lua, 2, 0);
    lua_pushlstring(lua, (const char *) head, TB_LEASE_HEAD);
    lua_rawseti(lua, -2, 1);
    lua_pushlstring(lua, (const char *) parts, (size_t) n * TB_LEASE_PART);
    lua_rawseti(lua, -2, 2);
    lua_setglobal(lua, "ARGV");

    if (lua_pcall(lua, 0, 1, 0) != 0) {
        fail_msg("the script says: %s", lua_tostring(lua, -1));
    }

    reply = lua_tolstring(lua, -1, &len);
    assert_non_null(reply);
    assert_true(len <= size);
    memcpy(out, reply, len);
    lua_pop(lua, 1);

    return len;
}


#endif /* TB_LEASE_REDIS_H */
