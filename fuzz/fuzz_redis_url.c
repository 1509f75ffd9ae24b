
/*
 * URLs of Redis stores.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/text/gw_redis_url.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned         i;
    gw_redis_url_t   url;

    if (gw_redis_url_parse(&url, (const char *) data, size) != 0) {
        fuzz_check(url.error != NULL && strlen(url.error) > 0);
        return 0;
    }

    fuzz_check(url.error == NULL);
    fuzz_check(url.db <= GW_REDIS_DB_MAX);
    fuzz_check(strlen(url.user) <= GW_REDIS_SECRET_MAX);
    fuzz_check(strlen(url.password) <= GW_REDIS_SECRET_MAX);
    fuzz_check(url.has_password == (url.password[0] != '\0'));
    fuzz_check((url.kind == GW_REDIS_UNIX) == (url.path[0] == '/'));
    fuzz_check((url.kind == GW_REDIS_SENTINEL) == (url.master[0] != '\0'));
    fuzz_check((url.kind == GW_REDIS_UNIX) == (url.nhosts == 0));
    fuzz_check(url.nhosts <= GW_REDIS_HOSTS_MAX);

    for (i = 0; i < url.nhosts; i++) {
        fuzz_check(url.hosts[i].port >= 1 && url.hosts[i].port <= 65535);
        fuzz_check(url.hosts[i].name[0] != '\0');
        fuzz_check(strlen(url.hosts[i].name) <= GW_REDIS_NAME_MAX);
    }

    return 0;
}
