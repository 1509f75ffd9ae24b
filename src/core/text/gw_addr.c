
/*
 * Addresses as client ids, over the C library's own parser and printer.
 */


#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "src/core/text/gw_addr.h"


bool
gw_addr_is_spelled(const char *text, size_t len)
{
    char     buf[INET6_ADDRSTRLEN], *end;
    size_t   n;
    uint8_t  addr[16];

    if (!gw_addr_begins(text, len)) {
        return false;
    }

    if (text[0] == '[') {
        text++;
        len--;
    }

    for (n = 0; n < len; n++) {
        if (text[n] == '/' || text[n] == ']' || text[n] == '%') {
            break;
        }
    }

    if (n == 0 || n >= sizeof(buf)) {
        return false;
    }

    end = (char *) memcpy(buf, text, n) + n;
    *end = '\0';

    if (memchr(buf, '\0', n) != NULL) {
        return false;
    }

    return inet_pton(AF_INET, buf, addr) == 1
           || inet_pton(AF_INET6, buf, addr) == 1;
}


size_t
gw_addr_print(const uint8_t *addr, size_t size, unsigned prefix, char *text)
{
    char      buf[GW_ADDR_TEXT_MAX + 1];
    size_t    len;
    uint8_t   cut[16];
    unsigned  i;

    static const uint8_t  mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                         0xff, 0xff };
    static const uint8_t  nat64[12] = { 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0,
                                        0, 0, 0 };

    if (size == sizeof(cut)
        && (memcmp(addr, mapped, sizeof(mapped)) == 0
            || memcmp(addr, nat64, sizeof(nat64)) == 0))
    {
        addr += sizeof(mapped);
        size = 4;
    }

    if (size == 4) {
        len = (size_t) snprintf(buf, sizeof(buf), "%u.%u.%u.%u", addr[0],
                                addr[1], addr[2], addr[3]);
        memcpy(text, buf, len);

        return len;
    }

    memset(cut, 0, sizeof(cut));

    for (i = 0; i < prefix / 8 && i < sizeof(cut); i++) {
        cut[i] = addr[i];
    }

    if (i < sizeof(cut) && prefix % 8) {
        cut[i] = addr[i] & (uint8_t) (0xff00 >> prefix % 8);
    }

    if (inet_ntop(AF_INET6, cut, buf, INET6_ADDRSTRLEN) == NULL) {
        return 0;
    }

    len = strlen(buf);

    if (prefix < 128) {
        len += (size_t) snprintf(buf + len, sizeof(buf) - len, "/%u", prefix);
    }

    memcpy(text, buf, len);

    return len;
}
