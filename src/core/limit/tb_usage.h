
/*
 * What a language model's answer says that it has used, read as it passes:
 * the last "usage" object of OpenAI's and Anthropic's dialects, or
 * "usageMetadata" of Gemini's, in JSON or in server-sent events.  Bytes may be
 * split anywhere; memory is constant, nothing is kept but the numbers.
 *
 * An object counts where these dialects have it, so that nobody can put one
 * into an answer by what he asks for: in the outermost object, or in its
 * "message" (Anthropic's first event) or "response" (OpenAI's last one).
 * Numbers of several objects add to each other by name: the later one counts.
 *
 * Not here: whether the JSON is valid.  What is not yields no numbers, or some
 * of its numbers.
 */


#ifndef TB_USAGE_H
#define TB_USAGE_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


/* the longest name that means anything has 20 bytes */
#define TB_USAGE_NAME  24


typedef enum {
    TB_USAGE_INPUT = 0,
    TB_USAGE_OUTPUT,
    TB_USAGE_TOTAL,
    TB_USAGE_NUMBERS
} tb_usage_number_t;


typedef struct {
    uint64_t   number[TB_USAGE_NUMBERS];
    bool       known[TB_USAGE_NUMBERS];

    /* of the JSON text */
    uint64_t   depth;              /* open objects and arrays */
    uint64_t   digits;
    uint8_t    scope[4];           /* what the outer ones of these are */
    uint8_t    state;
    uint8_t    member;             /* what the last name means */
    uint8_t    len;                /* of a name, or of a line's field */
    bool       named;              /* a string that begins is a name */
    bool       escaped;            /* by a backslash before this byte */
    char       name[TB_USAGE_NAME];

    /* of the events */
    bool       events;
    uint8_t    line;               /* what a line is */
    bool       skip;               /* the event's data */
} tb_usage_t;


/* events: server-sent events (text/event-stream), else JSON. */

void tb_usage_init(tb_usage_t *u, bool events);

/* The next len bytes. */

void tb_usage_feed(tb_usage_t *u, const char *p, size_t len);

/*
 * A number, of what has been fed so far; false: there was none.  The total is
 * the sum of the others where there are these but no total.
 */

bool tb_usage_get(const tb_usage_t *u, tb_usage_number_t which,
    uint64_t *number);


#endif /* TB_USAGE_H */
