
/*
 * Times as nginx spells them, in milliseconds.
 */


#ifndef GW_TIME_H
#define GW_TIME_H


#include <stddef.h>
#include <stdint.h>


/*
 * Reads "10s", "500ms", "1h30m", or a number of seconds; 0 and *ms, up to
 * max, or -1.
 */

int gw_time_read(const char *text, size_t len, uint64_t max, uint64_t *ms);

/*
 * Writes whole seconds as "10s" and others as "1500ms", with a NUL, to buf
 * of GW_NUMBER_SIZE bytes.  Returns the length.
 */

size_t gw_time_print(char *buf, uint64_t ms);


#endif /* GW_TIME_H */
