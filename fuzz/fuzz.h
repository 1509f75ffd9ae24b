
/*
 * What the harnesses share.  Each is one LLVMFuzzerTestOneInput(), for
 * libFuzzer and, replaying fuzz/corpus, for t/unit/test_fuzz_corpus.c.
 */


#ifndef FUZZ_H
#define FUZZ_H


#include <stdio.h>
#include <stdlib.h>


/* A property that has to hold for every input; stays with NDEBUG. */

#define fuzz_check(property)                                                 \
    do {                                                                     \
        if (!(property)) {                                                   \
            (void) fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__,    \
                           __LINE__, #property);                             \
            abort();                                                         \
        }                                                                    \
    } while (0)


#endif /* FUZZ_H */
