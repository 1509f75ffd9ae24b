
/*
 * Ids of clients as they come in paths and arguments.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/text/gw_id.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char             id[GW_ID_MAX], text[3 * GW_ID_MAX], back[GW_ID_MAX];
    size_t           len, text_len, back_len;
    gw_id_status_t   status;

    status = gw_id_decode(id, &len, (const char *) data, size);

    fuzz_check(strlen(gw_id_error(status)) > 0);

    if (status != GW_ID_OK) {
        return 0;
    }

    fuzz_check(len >= 1 && len <= GW_ID_MAX && len <= size);
    fuzz_check(memchr(id, '\0', len) == NULL);

    (void) gw_id_fits_path(id, len);

    text_len = gw_id_encode(text, id, len);

    fuzz_check(text_len >= len && text_len <= 3 * len);
    fuzz_check(gw_id_decode(back, &back_len, text, text_len) == GW_ID_OK);
    fuzz_check(back_len == len && memcmp(back, id, len) == 0);

    return 0;
}
