
/*
 * What fuzzing has found worth keeping, replayed: every file of
 * fuzz/corpus/TARGET through the harness fuzz/fuzz_*.c.
 */


#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LLVMFuzzerTestOneInput  fuzz_client_body
#include "fuzz/fuzz_client_body.c"
#undef LLVMFuzzerTestOneInput

#define LLVMFuzzerTestOneInput  fuzz_id
#include "fuzz/fuzz_id.c"
#undef LLVMFuzzerTestOneInput

#define LLVMFuzzerTestOneInput  fuzz_lb_entry
#include "fuzz/fuzz_lb_entry.c"
#undef LLVMFuzzerTestOneInput

#define LLVMFuzzerTestOneInput  fuzz_redis_value
#include "fuzz/fuzz_redis_value.c"
#undef LLVMFuzzerTestOneInput

#define LLVMFuzzerTestOneInput  fuzz_redis_url
#include "fuzz/fuzz_redis_url.c"
#undef LLVMFuzzerTestOneInput

#define LLVMFuzzerTestOneInput  fuzz_redis_cluster
#include "fuzz/fuzz_redis_cluster.c"
#undef LLVMFuzzerTestOneInput

#define LLVMFuzzerTestOneInput  fuzz_lease_reply
#include "fuzz/fuzz_lease_reply.c"
#undef LLVMFuzzerTestOneInput

#define LLVMFuzzerTestOneInput  fuzz_probe
#include "fuzz/fuzz_probe.c"
#undef LLVMFuzzerTestOneInput

#define LLVMFuzzerTestOneInput  fuzz_tz
#include "fuzz/fuzz_tz.c"
#undef LLVMFuzzerTestOneInput

#define LLVMFuzzerTestOneInput  fuzz_usage
#include "fuzz/fuzz_usage.c"
#undef LLVMFuzzerTestOneInput


#define CORPUS  "fuzz/corpus"       /* tests run from the top */


typedef int (*harness_t)(const uint8_t *data, size_t size);


/* The input is in a block of its own size, so that ASan sees its end. */

static void
replay_file(const char *name, harness_t harness)
{
    FILE     *file;
    long      size;
    uint8_t  *data;

    file = fopen(name, "rb");
    assert_non_null(file);

    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    assert_true(size >= 0);
    rewind(file);

    data = malloc(size > 0 ? (size_t) size : 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t) size, file), size);
    assert_int_equal(fclose(file), 0);

    assert_int_equal(harness(data, (size_t) size), 0);

    free(data);
}


static void
replay(const char *target, harness_t harness)
{
    DIR            *dir;
    char            name[1024];
    unsigned        n;
    struct dirent  *entry;

    (void) snprintf(name, sizeof(name), CORPUS "/%s", target);

    dir = opendir(name);
    assert_non_null(dir);

    n = 0;

    while ((entry = readdir(dir)) != NULL) {

        if (entry->d_name[0] == '.') {
            continue;
        }

        (void) snprintf(name, sizeof(name), CORPUS "/%s/%s", target,
                        entry->d_name);
        replay_file(name, harness);
        n++;
    }

    assert_int_equal(closedir(dir), 0);
    assert_true(n > 0);
}


static void
bodies_of_the_api(void **state)
{
    (void) state;

    replay("client_body", fuzz_client_body);
}


static void
ids_of_clients(void **state)
{
    (void) state;

    replay("id", fuzz_id);
}


static void
servers_of_the_api_and_state_files(void **state)
{
    (void) state;

    replay("lb_entry", fuzz_lb_entry);
}


static void
values_in_redis(void **state)
{
    (void) state;

    replay("redis_value", fuzz_redis_value);
}


static void
urls_of_redis(void **state)
{
    (void) state;

    replay("redis_url", fuzz_redis_url);
}


static void
topology_and_redirections(void **state)
{
    (void) state;

    replay("redis_cluster", fuzz_redis_cluster);
}


static void
replies_about_leases(void **state)
{
    (void) state;

    replay("lease_reply", fuzz_lease_reply);
}


static void
answers_to_health_checks(void **state)
{
    (void) state;

    replay("probe", fuzz_probe);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(bodies_of_the_api),
        cmocka_unit_test(ids_of_clients),
        cmocka_unit_test(servers_of_the_api_and_state_files),
        cmocka_unit_test(values_in_redis),
        cmocka_unit_test(urls_of_redis),
        cmocka_unit_test(topology_and_redirections),
        cmocka_unit_test(replies_about_leases),
        cmocka_unit_test(answers_to_health_checks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
