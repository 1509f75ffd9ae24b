
/*
 * What may be told of a reply of Redis that is an error.  Such a text goes
 * to logs and to users of the API, is compared in order to be told once, and
 * may repeat what was sent: passwords, and ids that are API keys.
 */


#ifndef GW_REDIS_REASON_H
#define GW_REDIS_REASON_H


#include <stdbool.h>
#include <stddef.h>


/*
 * Copies text of len bytes to buf, which has size bytes and ends in NUL then:
 * the code and what Redis says, without the script and its line, and up to
 * where the arguments of the command are repeated.  Bytes that are not
 * printable ASCII become "?".  Texts of the same reason are alike, wherever
 * in a script it came up.
 */

void gw_redis_reason(char *buf, size_t size, const char *text, size_t len);

/*
 * Likewise of a reply to a command that carried a password: nothing of the
 * text is told, only which of the known reasons it is.  Never NULL.
 */

const char *gw_redis_reason_auth(const char *text, size_t len);

/*
 * Ends text before anything that looks like secret: all of it, or its first
 * 16 bytes.  NULL and "" are no secret.
 */

void gw_redis_reason_hide(char *text, const char *secret);

/* Whether a reason has that code, its first word. */

bool gw_redis_reason_is(const char *reason, const char *code);


#endif /* GW_REDIS_REASON_H */
