/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libliveupdate: /dev/liveupdate for C programs.
 *
 * One call per ioctl. Calls return 0, or a file descriptor or count >= 0 where
 * they say so, or -errno. Nothing is printed, nothing is kept between calls.
 * See libliveupdate(3).
 */
#ifndef LIBLIVEUPDATE_H
#define LIBLIVEUPDATE_H

#include <stdint.h>

#include <linux/liveupdate.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIVEUPDATE_DEVICE	"/dev/liveupdate"

/* On the device. Session calls return the session's fd. */
int liveupdate_open(void);
int liveupdate_create_session(int dev, const char *name);
int liveupdate_retrieve_session(int dev, const char *name);
int liveupdate_get_info(int dev, struct liveupdate_ioctl_get_info *info);

/*
 * Returns how many entries were written, 0 at the end of the list. *cursor is
 * 0 for the first call.
 */
int liveupdate_list_sessions(int dev, uint64_t *cursor,
			     struct liveupdate_session_entry *entries,
			     uint32_t count);

/*
 * liveupdate_retrieve_session() whose session goes back to the kernel, whole,
 * when its last fd is closed before liveupdate_finish(). A kernel that does
 * not know LIVEUPDATE_SESSION_KEEP_ON_CLOSE finishes the session then.
 */
int liveupdate_claim_session(int dev, const char *name);

/* On an outgoing session. */
int liveupdate_preserve_fd(int session, int fd, uint64_t token);
int liveupdate_unpreserve_fd(int session, uint64_t token);

/* On an incoming session. liveupdate_retrieve_fd() returns the file's fd. */
int liveupdate_retrieve_fd(int session, uint64_t token);
int liveupdate_finish(int session);
int liveupdate_set_flags(int session, uint32_t flags);

/* On both. */
int liveupdate_get_name(int session, char name[LIVEUPDATE_SESSION_NAME_LENGTH]);
int liveupdate_list_files(int session, uint64_t *cursor,
			  struct liveupdate_file_entry *entries,
			  uint32_t count);

#ifdef __cplusplus
}
#endif

#endif /* LIBLIVEUPDATE_H */
