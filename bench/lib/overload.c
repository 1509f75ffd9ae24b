
/*
 * Both ends of a gateway under overload.
 *
 *     overload serve MS CORES PORT...
 *
 * Servers that take so many ms of a request, and do so many at a time; others
 * wait there.  CORES 0: any number.  GET /work/N makes the ms N; GET /most
 * answers the most requests that one of them had at a time since it was asked
 * last, and how many it had.
 *
 *     overload load PORT RATE SECONDS
 *
 * Requests that come at random, so many a second in the mean, whether or not
 * others have been answered; half of them with "X-Class: 1", the others with 0.
 * Prints a line for each class and status: their number, and times in ms that
 * 50, 99 and 99.9 per cent did not exceed.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>


#define BUFFER     2048
#define STATUSES   600
#define PORTS      16
#define CORES      64


typedef struct conn_s  conn_t;

struct conn_s {
    int        fd;
    int        server;               /* number, of one that is accepted */
    bool       listens;
    bool       waits;                /* for an answer */
    int        class;
    double     began;                /* or when the answer is due */
    size_t     length;
    conn_t    *next;                 /* idle, or due later */
    char       buffer[BUFFER];
};


typedef struct {
    double    *times;
    size_t     number;
    size_t     size;
} times_t;


static int       epoll;
static int       timer;
static double    work;
static int       cores;
static double    free_at[PORTS][CORES];
static int       busy[PORTS], most[PORTS];
static long      served[PORTS];
static conn_t   *due;                /* in order of time */
static conn_t   *idle;
static int       port;
static times_t   times[2][STATUSES];


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}


static void
fail(const char *what)
{
    perror(what);
    exit(1);
}


static conn_t *
watch(int fd, uint32_t events)
{
    conn_t              *c;
    struct epoll_event   ev;

    c = calloc(1, sizeof(conn_t));
    if (c == NULL) {
        fail("calloc");
    }

    c->fd = fd;
    ev.events = events;
    ev.data.ptr = c;

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) == -1) {
        fail("epoll_ctl");
    }

    return c;
}


static void
set_timer(double at)
{
    double             left;
    struct itimerspec  its = { { 0, 0 }, { 0, 0 } };

    left = at - now();
    left = (left > 0.001) ? left : 0.001;

    its.it_value.tv_sec = (time_t) (left / 1e3);
    its.it_value.tv_nsec = (long) (fmod(left, 1e3) * 1e6);

    timerfd_settime(timer, 0, &its, NULL);
}


static struct sockaddr_in
address(int number)
{
    struct sockaddr_in  sin = { .sin_family = AF_INET };

    sin.sin_port = htons((uint16_t) number);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    return sin;
}


static void
say(int fd, const char *body)
{
    int   n;
    char  text[256];

    n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu"
                 "\r\nConnection: keep-alive\r\n\r\n%s", strlen(body), body);

    if (write(fd, text, (size_t) n) != n) {
        /* the gateway has gone; its end is read next */
    }
}


static void
answer_due(void)
{
    double   t;
    conn_t  *c;

    t = now();

    while ((c = due) != NULL && c->began <= t) {
        due = c->next;
        busy[c->server]--;
        c->waits = false;

        if (c->fd == -1) {
            free(c);
            continue;
        }

        say(c->fd, "ok\n");
    }

    if (due) {
        set_timer(due->began);
    }
}


/* when a request that comes now will have been done */

static double
done_at(int server)
{
    int      i;
    double   t, *first;

    t = now();

    if (cores == 0) {
        return t + work;
    }

    first = &free_at[server][0];

    for (i = 1; i < cores; i++) {

        if (free_at[server][i] < *first) {
            first = &free_at[server][i];
        }
    }

    *first = ((*first > t) ? *first : t) + work;

    return *first;
}


static void
serve_request(conn_t *c)
{
    int       i;
    char      text[64];
    conn_t  **p;

    i = c->server;

    if (strncmp(c->buffer, "GET /work/", 10) == 0) {
        work = atof(c->buffer + 10);
        say(c->fd, "set\n");

    } else if (strncmp(c->buffer, "GET /most", 9) == 0) {
        snprintf(text, sizeof(text), "%d %ld\n", most[i], served[i]);
        most[i] = busy[i];
        served[i] = 0;
        say(c->fd, text);

    } else {
        busy[i]++;
        served[i]++;
        most[i] = (busy[i] > most[i]) ? busy[i] : most[i];

        c->waits = true;
        c->began = done_at(i);

        for (p = &due; *p && (*p)->began <= c->began; p = &(*p)->next) {
            /* few are under way */
        }

        c->next = *p;
        *p = c;

        if (due == c) {
            set_timer(c->began);
        }
    }

    c->length = 0;
}


static void
serve_event(conn_t *c)
{
    int      fd, one = 1;
    conn_t  *new;
    ssize_t  n;

    if (c->listens) {

        while ((fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK)) != -1) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
            new = watch(fd, EPOLLIN);
            new->server = c->server;
        }

        return;
    }

    n = read(c->fd, c->buffer + c->length, BUFFER - 1 - c->length);

    if (n <= 0) {

        if (n == -1 && errno == EAGAIN) {
            return;
        }

        close(c->fd);
        c->fd = -1;

        if (!c->waits) {
            free(c);
        }

        return;
    }

    c->length += (size_t) n;
    c->buffer[c->length] = '\0';

    if (strstr(c->buffer, "\r\n\r\n")) {
        serve_request(c);
    }
}


static void
serve(int argc, char **argv)
{
    int                  i, n, fd, one = 1;
    conn_t              *c;
    struct sockaddr_in   sin;
    struct epoll_event   events[256];

    work = atof(argv[2]);
    cores = atoi(argv[3]);
    cores = (cores < CORES) ? cores : CORES;

    for (i = 4; i < argc && i - 4 < PORTS; i++) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        sin = address(atoi(argv[i]));

        if (bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
            || listen(fd, 4096) == -1)
        {
            fail("listen");
        }

        c = watch(fd, EPOLLIN);
        c->listens = true;
        c->server = i - 4;
    }

    for (;;) {
        n = epoll_wait(epoll, events, 256, -1);

        for (i = 0; i < n; i++) {
            c = events[i].data.ptr;

            if (c->fd != timer) {
                serve_event(c);
            }
        }

        answer_due();
    }
}


static void
enter(int class, int status, double time)
{
    times_t  *t;

    t = &times[class][status];

    if (t->number == t->size) {
        t->size = t->size ? 2 * t->size : 1024;
        t->times = realloc(t->times, t->size * sizeof(double));

        if (t->times == NULL) {
            fail("realloc");
        }
    }

    t->times[t->number++] = time;
}


static void
come(double at)
{
    int                  n, fd, one = 1;
    char                 text[128];
    conn_t              *c;
    struct sockaddr_in   sin;

    if (idle == NULL) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        sin = address(port);

        if (fd == -1
            || connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1)
        {
            fail("connect");
        }

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        c = watch(fd, EPOLLIN);

    } else {
        c = idle;
        idle = c->next;
    }

    c->class = (int) (random() & 1);
    c->began = at;
    c->waits = true;
    c->length = 0;

    n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n"
                 "X-Class: %d\r\n\r\n", c->class);

    if (write(c->fd, text, (size_t) n) != n) {
        /* what is wrong is read as the end of the connection */
    }
}


static bool
whole(conn_t *c)
{
    char  *end, *length;

    c->buffer[c->length] = '\0';
    end = strstr(c->buffer, "\r\n\r\n");

    if (end == NULL) {
        return false;
    }

    length = strcasestr(c->buffer, "content-length:");

    return length && c->buffer + c->length >= end + 4 + atoi(length + 15);
}


static void
drop(conn_t *c)
{
    conn_t  **p;

    for (p = &idle; *p; p = &(*p)->next) {

        if (*p == c) {
            *p = c->next;
            break;
        }
    }

    close(c->fd);
    free(c);
}


static void
load_event(conn_t *c)
{
    int      status;
    ssize_t  n;

    n = recv(c->fd, c->buffer + c->length, BUFFER - 1 - c->length,
             MSG_DONTWAIT);

    if (n <= 0) {

        if (n == -1 && errno == EAGAIN) {
            return;
        }

        if (c->waits) {
            enter(c->class, 0, now() - c->began);
        }

        drop(c);
        return;
    }

    c->length += (size_t) n;

    if (!c->waits || !whole(c)) {
        return;
    }

    status = atoi(c->buffer + 9);
    enter(c->class, (status > 0 && status < STATUSES) ? status : 0,
          now() - c->began);

    c->waits = false;

    if (strcasestr(c->buffer, "connection: close")) {
        drop(c);
        return;
    }

    c->next = idle;
    idle = c;
}


static int
compare(const void *a, const void *b)
{
    double  x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}


static void
load(char **argv)
{
    int                  i, n;
    double               rate, end, next;
    times_t             *t;
    struct epoll_event   events[256];

    port = atoi(argv[2]);
    rate = atof(argv[3]) / 1e3;
    next = now();
    end = next + atof(argv[4]) * 1e3;

    /* what has come by then has two seconds more */

    while (now() < end + 2000) {

        while (next <= now() && next < end) {
            come(next);
            next += -log(1.0 - drand48()) / rate;
        }

        set_timer((next < end) ? next : now() + 100);

        n = epoll_wait(epoll, events, 256, 100);

        for (i = 0; i < n; i++) {

            if (((conn_t *) events[i].data.ptr)->fd != timer) {
                load_event(events[i].data.ptr);
            }
        }
    }

    for (i = 0; i < 2 * STATUSES; i++) {
        t = &times[i / STATUSES][i % STATUSES];

        if (t->number != 0) {
            qsort(t->times, t->number, sizeof(double), compare);
            printf("%d %d %zu %.2f %.2f %.2f\n", i / STATUSES, i % STATUSES,
                   t->number, t->times[t->number / 2],
                   t->times[t->number * 99 / 100],
                   t->times[t->number * 999 / 1000]);
        }
    }
}


int
main(int argc, char **argv)
{
    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(timer, EPOLLIN | EPOLLET);

    if (argc > 4 && strcmp(argv[1], "serve") == 0) {
        serve(argc, argv);

    } else if (argc == 5 && strcmp(argv[1], "load") == 0) {
        load(argv);

    } else {
        fprintf(stderr, "usage: overload serve MS CORES PORT... |"
                        " load PORT RATE SECONDS\n");
        return 2;
    }

    return 0;
}
