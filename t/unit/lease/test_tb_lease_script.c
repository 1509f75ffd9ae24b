
/*
 * The script that leases tokens, in a real Redis and in what the simulation
 * has for one: the same random calls at the same times give the same bytes.
 */


#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "t/unit/lease/tb_lease_redis.h"
#include "t/unit/tb_random.h"


#define NODES  5
#define BUCKETS  5
#define CALLS    3000


typedef struct {
    char         dir[64];
    char         path[96];
    char        *script;           /* with the time as arguments */
    pid_t        pid;
    FILE        *in;
    FILE        *out;
    tb_random_t  rnd;
    redis_t      here;
    double       now;              /* us */
    double       heard[NODES];   /* time in the last reply */
    uint64_t     seq[NODES];
} server_t;


/* A command of n arguments with their lengths. */

static void
command(server_t *s, int n, const char **args, const size_t *lens)
{
    int  i;

    fprintf(s->out, "*%d\r\n", n);

    for (i = 0; i < n; i++) {
        fprintf(s->out, "$%zu\r\n", lens[i]);
        assert_int_equal(fwrite(args[i], 1, lens[i], s->out), lens[i]);
        fprintf(s->out, "\r\n");
    }

    assert_int_equal(fflush(s->out), 0);
}


/* The reply, a string or a line; its length. */

static size_t
answer(server_t *s, unsigned char *buf, size_t size)
{
    char    line[512];
    size_t  len;

    assert_non_null(fgets(line, sizeof(line), s->in));

    if (line[0] == '-') {
        fail_msg("Redis says: %s", line);
    }

    if (line[0] != '$') {
        return 0;
    }

    len = strtoul(line + 1, NULL, 10);
    assert_true(len < size);
    assert_int_equal(fread(buf, 1, len + 2, s->in), len + 2);

    return len;
}


static void
simple(server_t *s, const char *name, const char *arg)
{
    size_t          lens[2];
    const char     *args[2];
    unsigned char   buf[64];

    args[0] = name;
    args[1] = arg;
    lens[0] = strlen(name);
    lens[1] = arg ? strlen(arg) : 0;

    command(s, arg ? 2 : 1, args, lens);
    (void) answer(s, buf, sizeof(buf));
}


static int
start(void **state)
{
    int                 fd, i;
    server_t           *s;
    struct sockaddr_un  sun = { .sun_family = AF_UNIX };

    s = calloc(1, sizeof(server_t));
    assert_non_null(s);

    snprintf(s->dir, sizeof(s->dir), "/tmp/lease-script-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->path, sizeof(s->path), "%s/redis", s->dir);

    s->pid = fork();
    assert_true(s->pid != -1);

    if (s->pid == 0) {
        (void) !freopen("/dev/null", "w", stdout);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
               s->path, "--save", "", "--appendonly", "no", "--dir", s->dir,
               (char *) NULL);
        _exit(127);
    }

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd != -1);
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", s->path);

    /* until it listens, a minute at most */

    for (i = 0; connect(fd, (struct sockaddr *) &sun, sizeof(sun)) == -1;
         i++)
    {
        assert_true(i < 6000);
        assert_int_equal(waitpid(s->pid, NULL, WNOHANG), 0);
        usleep(10000);
    }

    s->in = fdopen(fd, "r");
    s->out = fdopen(dup(fd), "w");
    assert_true(s->in && s->out);

    redis_open(&s->here, (redis_edit_t) { NULL, NULL });

    assert_non_null(strstr(ngx_gw_script_lease, "redis.call('TIME')"));
    s->script = strdup(luaL_gsub(s->here.lua, ngx_gw_script_lease,
                                 "redis.call('TIME')", "{ARGV[3], ARGV[4]}"));
    lua_settop(s->here.lua, 0);

    s->rnd.state = 1;
    s->now = 1.7e15;
    *state = s;

    return 0;
}


static int
stop(void **state)
{
    server_t  *s;

    s = *state;

    fclose(s->in);
    fclose(s->out);
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    unlink(s->path);
    rmdir(s->dir);
    redis_close(&s->here);
    free(s->script);
    free(s);

    return 0;
}


static uint64_t
pick(server_t *s, uint64_t from, uint64_t to)
{
    return tb_random_in(&s->rnd, from, to);
}


static void
advance(server_t *s)
{
    char          name[16];
    unsigned      i;
    redis_key_t  *key;

    switch (pick(s, 0, 200)) {

    case 0:
        s->now += (double) tb_random_scale(&s->rnd, 1, 7200) * 1e6;
        break;

    case 1:
        s->now -= (double) tb_random_scale(&s->rnd, 1, 3600) * 1e6;
        break;

    case 2:
        if (pick(s, 0, 9) == 0) {
            simple(s, "FLUSHALL", NULL);
            redis_flush(&s->here);
        }

        break;

    default:
        s->now += (double) tb_random_scale(&s->rnd, 1, 400000);
        break;
    }

    for (i = 0; i < BUCKETS; i++) {
        key = &s->here.keys[1 + i];

        if (key->len != 0 && key->expires <= s->now) {
            snprintf(name, sizeof(name), "bucket%u", i);
            simple(s, "DEL", name);
        }
    }
}


static void
random_part(server_t *s, unsigned h, unsigned b, unsigned char *buf)
{
    uint32_t        gen;
    uint64_t        full;
    redis_key_t    *key;
    tb_lease_ask_t  ask;

    static const uint32_t  capacities[BUCKETS] = { 1, 10, 100, 5000,
                                                   1000000 };
    static const uint64_t  rates[BUCKETS] = { 864000, 10, 8640000, 7777777,
                                              TB_RATE_MAX };

    ask.limits = tb_limits(capacities[b], rates[b], 0);

    if (pick(s, 0, 19) == 0) {
        ask.limits = tb_limits((uint32_t) pick(s, 1, 20), rates[b], 0);
    }

    full = tb_limits_full(ask.limits);

    ask.op = pick(s, 0, 30) == 0 ? (tb_lease_op_e) pick(s, 1, 3)
                                 : TB_LEASE_TAKE;
    key = &s->here.keys[1 + b];
    gen = 0;

    if (key->len != 0) {
        memcpy(&gen, key->value, sizeof(gen));
    }

    ask.gen = pick(s, 0, 9) ? gen : (uint32_t) pick(s, 0, 3);
    ask.hold = pick(s, 0, 1) ? (int64_t) pick(s, 0, full / 3) : 0;
    ask.back = pick(s, 0, 4) ? 0 : (int64_t) pick(s, 0, full / 3);
    ask.refund = pick(s, 0, 4) ? 0 : pick(s, 0, full / 3);
    ask.heard = pick(s, 0, 2) ? s->seq[h]
                              : s->seq[h] - (s->seq[h] ? pick(s, 0, 1) : 0);

    if (pick(s, 0, 4) == 0) {
        ask.hold = -(int64_t) pick(s, 0, 3 * full);
        ask.hold = ask.hold < -TB_DEBT_MAX ? -TB_DEBT_MAX : ask.hold;
    }
    ask.want = pick(s, 0, 2) ? pick(s, 0, full) : 0;
    ask.unit = pick(s, 0, 2) ? TB_TOKEN : pick(s, 1, full);

    if (pick(s, 0, 7) == 0) {

        /* places for requests in flight: whole ones, without a rate */

        ask.op = TB_LEASE_PLACES;
        ask.limits = tb_limits(tb_limits_capacity(ask.limits), 0, 0);
        ask.hold = (int64_t) (pick(s, 0, full / TB_TOKEN) * TB_TOKEN);
        ask.back = pick(s, 0, 2) ? 0 : (int64_t) (pick(s, 0, 5) * TB_TOKEN);
        ask.want = pick(s, 0, full / TB_TOKEN) * TB_TOKEN;
        ask.unit = TB_TOKEN;
        ask.refund = 0;
        ask.heard = 0;
    }

    tb_lease_put(buf, &ask);
}


static void
random_head(server_t *s, unsigned h, unsigned char *buf)
{
    unsigned       flags;
    uint64_t       seq;
    unsigned char  id[TB_NODE_ID] = { 'h' }, tag[TB_NODE_TAG] = { 't' };

    id[1] = (unsigned char) h;
    tag[1] = (unsigned char) (h / 2);

    flags = (unsigned) pick(s, 0, 1) ? TB_LEASE_BEATS : 0;

    if (pick(s, 0, 9) == 0) {
        flags |= TB_LEASE_JOINS | (unsigned) pick(s, 0, 1) * TB_LEASE_RETURNS;
    }

    if (pick(s, 0, 99) == 0) {
        flags |= TB_LEASE_LEAVES;
    }

    seq = pick(s, 0, 9) ? ++s->seq[h]
                        : s->seq[h] - (s->seq[h] > 5 ? pick(s, 0, 5) : 0);

    tb_lease_put_head(buf, id, tag, flags, seq, (uint64_t) s->heard[h],
                      pick(s, 0, 9) == 0 ? TB_LEASE_ALL
                      : pick(s, 0, 3)    ? 200000
                                         : pick(s, 0, 500000));
}


static size_t
call(server_t *s, const char *script, const unsigned char *head,
    const unsigned char *parts, unsigned n, const unsigned *which,
    unsigned char *reply, size_t size)
{
    int          argc;
    char         keys[BUCKETS][16], nkeys[8], seconds[32], us[32];
    size_t       lens[BUCKETS + 8];
    unsigned     i;
    const char  *args[BUCKETS + 8];

    snprintf(nkeys, sizeof(nkeys), "%u", n + 1);
    snprintf(seconds, sizeof(seconds), "%.0f", floor(s->now / 1e6));
    snprintf(us, sizeof(us), "%.0f", fmod(s->now, 1e6));

    args[0] = "EVAL";
    args[1] = script;
    args[2] = nkeys;
    args[3] = "nodes";

    for (i = 0; i < n; i++) {
        snprintf(keys[i], sizeof(keys[i]), "bucket%u", which[i]);
        args[4 + i] = keys[i];
    }

    for (i = 0; i < 4 + n; i++) {
        lens[i] = strlen(args[i]);
    }

    argc = (int) (4 + n);
    args[argc] = (const char *) head;
    lens[argc++] = TB_LEASE_HEAD;
    args[argc] = (const char *) parts;
    lens[argc++] = (size_t) n * TB_LEASE_PART;
    args[argc] = seconds;
    lens[argc++] = strlen(seconds);
    args[argc] = us;
    lens[argc++] = strlen(us);

    command(s, argc, args, lens);

    return answer(s, reply, size);
}


static void
test_same_here_and_there(void **state)
{
    size_t             len, expected;
    server_t          *s;
    unsigned           b, granted, h, i, indebted, n, stale, which[BUCKETS];
    unsigned char      head[TB_LEASE_HEAD], parts[BUCKETS * TB_LEASE_PART];
    unsigned char      ours[512], theirs[512];
    tb_lease_reply_t   reply;
    tb_lease_answer_t  answers[BUCKETS];

    s = *state;
    granted = 0;
    indebted = 0;
    stale = 0;

    for (i = 0; i < CALLS; i++) {
        advance(s);

        h = (unsigned) pick(s, 0, NODES - 1);
        random_head(s, h, head);
        n = 0;

        for (b = 0; b < BUCKETS; b++) {
            if (pick(s, 0, 1)) {
                random_part(s, h, b, parts + n * TB_LEASE_PART);
                which[n++] = b;
            }
        }

        expected = redis_call(&s->here, head, parts, n, which, s->now, ours,
                              sizeof(ours));
        len = call(s, s->script, head, parts, n, which, theirs, sizeof(theirs));

        if (len != expected || memcmp(ours, theirs, len) != 0) {
            fail_msg("call %u differs", i);
        }

        assert_true(tb_lease_read(theirs, len, n, &reply, answers));

        if (reply.status != TB_LEASE_UNKNOWN) {
            s->heard[h] = (double) reply.time;

            for (b = 0; b < n; b++) {
                indebted += answers[b].left < 0;
                granted += answers[b].delta > 0;
                stale += answers[b].status == TB_LEASE_STALE;
            }
        }
    }

    /* it has been about something */

    assert_true(granted > CALLS / 10);
    assert_true(indebted > CALLS / 10);
    assert_true(stale > CALLS / 100);
}


/* As it is, by Redis' own time. */

static void
test_runs_as_it_is(void **state)
{
    size_t              len, lens[3];
    unsigned            which = 0;
    const char         *args[3];
    server_t           *s;
    unsigned char       buf[512], head[TB_LEASE_HEAD], part[TB_LEASE_PART];
    tb_lease_ask_t      ask;
    tb_lease_reply_t    reply;
    tb_lease_answer_t   got;

    s = *state;
    simple(s, "FLUSHALL", NULL);

    memset(&ask, 0, sizeof(ask));
    ask.limits = tb_limits(100, 10 * TB_STEPS_A_SECOND, 0);
    ask.want = 20 * TB_TOKEN;
    ask.unit = TB_TOKEN;

    tb_lease_put_head(head, (const unsigned char *) "abcdef",
                      (const unsigned char *) "node",
                      TB_LEASE_BEATS | TB_LEASE_JOINS, 1, 0, 0);
    tb_lease_put(part, &ask);

    len = call(s, ngx_gw_script_lease, head, part, 1, &which, buf,
               sizeof(buf));

    assert_true(tb_lease_read(buf, len, 1, &reply, &got));
    assert_int_equal(reply.status, TB_LEASE_OK);
    assert_int_equal(reply.share, TB_LEASE_ALL);
    assert_int_equal(reply.nodes, 1);
    assert_int_equal(got.delta, 20 * TB_TOKEN);
    assert_int_equal(got.left, 80 * TB_TOKEN);

    /* somebody's value that is no bucket: as without one */

    args[0] = "SET";
    lens[0] = 3;
    args[1] = "bucket0";
    lens[1] = 7;
    args[2] = "odd";
    lens[2] = 3;
    command(s, 3, args, lens);
    (void) answer(s, buf, sizeof(buf));

    tb_lease_put_head(head, (const unsigned char *) "abcdef",
                      (const unsigned char *) "node", TB_LEASE_BEATS, 2,
                      reply.time, TB_LEASE_ALL);

    len = call(s, ngx_gw_script_lease, head, part, 1, &which, buf,
               sizeof(buf));

    assert_true(tb_lease_read(buf, len, 1, &reply, &got));
    assert_int_equal(got.delta, 20 * TB_TOKEN);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_same_here_and_there),
        cmocka_unit_test(test_runs_as_it_is)
    };

    return cmocka_run_group_tests(tests, start, stop);
}
