
/*
 * Strict JSON on top of yajl: runs the check (gw_json_check.h) ahead of it,
 * piece by piece, and gives it memory.
 */


#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "src/core/text/gw_id.h"
#include "src/core/text/gw_json.h"


static void gw_json_yajl_error(gw_json_t *json, size_t consumed);

static void gw_json_arena_init(gw_json_arena_t *arena, void *memory,
    size_t size);
static void *gw_json_malloc(void *ctx, size_t size);
static void *gw_json_realloc(void *ctx, void *ptr, size_t size);
static void gw_json_free(void *ctx, void *ptr);


void
gw_json_init(gw_json_t *json, const yajl_callbacks *callbacks, void *ctx,
    unsigned depth)
{
    memset(json, 0, offsetof(gw_json_t, memory));

    json->check.depth_max = depth;

    gw_json_arena_init(&json->arena, json->memory.data,
                       sizeof(json->memory.data));

    json->yajl = yajl_alloc(callbacks, &json->arena.funcs, ctx);
}


int
gw_json_feed(gw_json_t *json, const unsigned char *data, size_t len)
{
    size_t       good;
    yajl_status  status;

    good = gw_json_check(&json->check, data, len);

    if (good > 0) {
        status = yajl_parse(json->yajl, data, good);

        if (status != yajl_status_ok) {
            gw_json_yajl_error(json, yajl_get_bytes_consumed(json->yajl));
            return -1;
        }
    }

    json->offset += good;

    if (good < len) {
        gw_json_fail(json, "not valid JSON at byte %zu: %s",
                     json->offset + 1, json->check.reason);
        return -1;
    }

    return 0;
}


int
gw_json_finish(gw_json_t *json)
{
    if (yajl_complete_parse(json->yajl) == yajl_status_ok) {
        return 0;
    }

    gw_json_yajl_error(json, 0);

    return -1;
}


void
gw_json_fail(gw_json_t *json, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    gw_json_vfail(json, fmt, args);
    va_end(args);
}


void
gw_json_vfail(gw_json_t *json, const char *fmt, va_list args)
{
    if (json->error[0] == '\0') {
        (void) vsnprintf(json->error, GW_JSON_ERROR_SIZE, fmt, args);
    }
}


const char *
gw_json_quote(char *buf, const void *data, size_t len)
{
    int                   n;
    char                 *p;
    size_t                i;
    const unsigned char  *s;

    p = buf;
    s = data;

    for (i = 0; i < len; i += (size_t) n) {

        n = gw_utf8_sequence(s + i, len - i);

        if (n <= 0) {
            n = 1;
        }

        if (i + (size_t) n > 32) {
            memcpy(p, "...", 3);
            p += 3;
            break;
        }

        if (s[i] < 0x20 || s[i] == 0x7f) {
            p += sprintf(p, "\\u%04x", s[i]);
            continue;
        }

        memcpy(p, s + i, (size_t) n);
        p += n;
    }

    *p = '\0';

    return buf;
}


yajl_gen
gw_json_writer(gw_json_arena_t *arena, void *memory, yajl_print_t print,
    void *ctx)
{
    yajl_gen  gen;

    gw_json_arena_init(arena, memory, GW_JSON_WRITE_ARENA);

    gen = yajl_gen_alloc(&arena->funcs);

    if (gen != NULL) {
        (void) yajl_gen_config(gen, yajl_gen_print_callback, print, ctx);
    }

    return gen;
}


static void
gw_json_yajl_error(gw_json_t *json, size_t consumed)
{
    size_t          len;
    char           *text, *p;
    unsigned char  *error;

    if (json->error[0] != '\0') {
        return;
    }

    error = yajl_get_error(json->yajl, 0, NULL, 0);

    if (error == NULL) {
        gw_json_fail(json, "not valid JSON");
        return;
    }

    /* "lexical error: what is wrong.\n" */

    text = (char *) error;
    p = strstr(text, ": ");

    if (p != NULL) {
        text = p + 2;
    }

    len = strcspn(text, "\n");

    if (len > 0 && text[len - 1] == '.') {
        len--;
    }

    gw_json_fail(json, "not valid JSON at byte %zu: %.*s",
                 json->offset + consumed, (int) len, text);
}


static void
gw_json_arena_init(gw_json_arena_t *arena, void *memory, size_t size)
{
    arena->start = memory;
    arena->size = size;
    arena->used = 0;
    arena->last = 0;

    arena->funcs.malloc = gw_json_malloc;
    arena->funcs.realloc = gw_json_realloc;
    arena->funcs.free = gw_json_free;
    arena->funcs.ctx = arena;
}


static void *
gw_json_malloc(void *ctx, size_t size)
{
    gw_json_arena_t  *arena = ctx;

    size = (size + 15) & ~(size_t) 15;

    if (size > arena->size - arena->used) {
        return NULL;
    }

    arena->last = arena->used;
    arena->used += size;

    return arena->start + arena->last;
}


static void *
gw_json_realloc(void *ctx, void *ptr, size_t size)
{
    gw_json_arena_t  *arena = ctx;

    void    *p;
    size_t   have;

    if (ptr == NULL) {
        return gw_json_malloc(ctx, size);
    }

    have = (size_t) (arena->start + arena->used - (unsigned char *) ptr);

    if ((unsigned char *) ptr == arena->start + arena->last) {
        arena->used = arena->last;
        return gw_json_malloc(ctx, size);
    }

    p = gw_json_malloc(ctx, size);

    if (p == NULL) {
        return NULL;
    }

    /* of the old piece only where it begins is known: its end is before p */

    memcpy(p, ptr, size < have ? size : have);

    return p;
}


static void
gw_json_free(void *ctx, void *ptr)
{
    (void) ctx;
    (void) ptr;
}
