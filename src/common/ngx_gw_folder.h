
/*
 * A folder that the workers keep files in: made for them if it is missing,
 * and never taken from anybody.  Whatever is in it may have been put there by
 * their user, so nothing is opened in it with root's rights.
 */


#ifndef NGX_GW_FOLDER_H
#define NGX_GW_FOLDER_H


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Makes the folder (0700, its parents 0755) unless it is there, checks that
 * the workers' user may write to it, and opens the file in it for a lock,
 * which is made if missing, with the rights of that user.  The paths end in
 * NUL; name is that of the directive.  Returns a descriptor that a new binary
 * inherits, or NGX_INVALID_FILE after a line in the log.  For the master, or
 * the only process, once the configuration has been read.
 */

ngx_fd_t ngx_gw_folder_open(ngx_cycle_t *cycle, const char *name,
    ngx_str_t *path, ngx_str_t *lock);

/*
 * open(), but only what is a regular file with one name, and no symbolic
 * link; never waits for somebody to open the other end.  *st is its state.
 * Sets errno: EINVAL for what is no regular file, EMLINK for one with more
 * names.
 */

ngx_fd_t ngx_gw_folder_file(const char *path, int flags, struct stat *st);

/*
 * F_WRLCK or F_UNLCK of one byte, for the open file and all who have inherited
 * it; never waits.  0, or -1 with errno set.
 */

int ngx_gw_folder_lock(ngx_fd_t fd, short type, uint64_t at);


#endif /* NGX_GW_FOLDER_H */
