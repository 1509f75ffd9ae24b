
/*
 * Addresses as client ids: telling ids that are spelled like one, and
 * printing one cut to a prefix.
 */


#ifndef GW_ADDR_H
#define GW_ADDR_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


/* the longest text of gw_addr_print(), without a final NUL */
#define GW_ADDR_TEXT_MAX  (sizeof("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") \
                           - 1 + sizeof("/128") - 1)


/*
 * Whether text is an IPv4 or IPv6 address in any of the forms people write:
 * with or without a prefix length, in brackets, with a zone.  Such a text
 * is never an API key.
 */

bool gw_addr_is_spelled(const char *text, size_t len);

/*
 * Whether text begins as each of these does: with a bracket, or with at most
 * four hexadecimal digits before a dot or a colon.  Nearly all keys do not.
 */

static inline bool
gw_addr_begins(const char *text, size_t len)
{
    char    c;
    size_t  i;

    for (i = 0; i < len && i < 5; i++) {
        c = text[i];

        if (c == '.' || c == ':') {
            return true;
        }

        if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a'
                                         && (c | 0x20) <= 'f'))
        {
            return c == '[' && i == 0;
        }
    }

    return false;
}


/*
 * The bucket id of an address: IPv4 as "192.0.2.1"; IPv6 cut to prefix bits
 * (1 .. 128) as "2001:db8:1:2::/64", RFC 5952 spelling; an IPv6 address
 * that stands for an IPv4 one, mapped or of NAT64 (64:ff9b::/96, RFC 6052),
 * as that one.  addr: 4 or 16 bytes in network order, as size says.
 * text has room for GW_ADDR_TEXT_MAX bytes.  Returns the length.
 */

size_t gw_addr_print(const uint8_t *addr, size_t size, unsigned prefix,
    char *text);


#endif /* GW_ADDR_H */
