
/*
 * A disk that hangs, to be preloaded: nothing is synced as long as the file
 * that HANGING_DISK names exists.
 */


#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>


static char  path[4096];


static int hang(const char *name, int fd);


/* nginx writes over the environment */

__attribute__((constructor))
static void
init(void)
{
    const char  *name;

    name = getenv("HANGING_DISK");

    if (name != NULL) {
        (void) snprintf(path, sizeof(path), "%s", name);
    }
}


int
fsync(int fd)
{
    return hang("fsync", fd);
}


int
fdatasync(int fd)
{
    return hang("fdatasync", fd);
}


static int
hang(const char *name, int fd)
{
    int  (*sync)(int fd);

    while (path[0] != '\0' && access(path, F_OK) == 0) {
        (void) usleep(5000);
    }

    sync = (int (*)(int)) dlsym(RTLD_NEXT, name);

    return sync(fd);
}
