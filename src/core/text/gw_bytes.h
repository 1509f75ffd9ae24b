
/*
 * Integers as little-endian bytes, for formats of files.
 */


#ifndef GW_BYTES_H
#define GW_BYTES_H


#include <stdint.h>


static inline unsigned char *
gw_put32(unsigned char *p, uint32_t value)
{
    int  i;

    for (i = 0; i < 4; i++) {
        *p++ = (unsigned char) (value >> 8 * i);
    }

    return p;
}


static inline unsigned char *
gw_put64(unsigned char *p, uint64_t value)
{
    p = gw_put32(p, (uint32_t) value);

    return gw_put32(p, (uint32_t) (value >> 32));
}


static inline uint32_t
gw_get32(const unsigned char *p)
{
    return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16
           | (uint32_t) p[3] << 24;
}


static inline uint64_t
gw_get64(const unsigned char *p)
{
    return (uint64_t) gw_get32(p) | (uint64_t) gw_get32(p + 4) << 32;
}


#endif /* GW_BYTES_H */
