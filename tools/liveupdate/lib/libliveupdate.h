/* SPDX-License-Identifier: LGPL-2.1+ OR MIT */
/*
 * libliveupdate: /dev/liveupdate for C programs.
 *
 * A call for each ioctl. Calls return 0, or a file descriptor or count >= 0
 * where they say so, or a negative errno. File descriptors are the caller's to
 * close, and close-on-exec. Nothing is printed and nothing kept between calls,
 * so that any thread may call at any time. Pointers are used during the call
 * only. See libliveupdate(3).
 */
#ifndef LIBLIVEUPDATE_H
#define LIBLIVEUPDATE_H

#include <stdint.h>

/* The package's own copy: the system's headers may be older, or without it. */
#include <libliveupdate/liveupdate.h>

#ifndef LIVEUPDATE_IOCTL_CLAIM_SESSION
#error "an older <linux/liveupdate.h> came first: include <libliveupdate.h> before it"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What the program is compiled with: MAJOR changes when calls do. */
#define LIBLIVEUPDATE_VERSION_MAJOR	1
#define LIBLIVEUPDATE_VERSION_MINOR	0
#define LIBLIVEUPDATE_VERSION_PATCH	0

/* Whether that has all of version _major._minor. */
#define LIBLIVEUPDATE_VERSION_AT_LEAST(_major, _minor)			\
	(LIBLIVEUPDATE_VERSION_MAJOR == (_major) &&			\
	 LIBLIVEUPDATE_VERSION_MINOR >= (_minor))

#define LIVEUPDATE_DEVICE	"/dev/liveupdate"

/**
 * liveupdate_version() - What the program runs with.
 *
 * Return: the library's "MAJOR.MINOR.PATCH", for as long as it is loaded.
 */
const char *liveupdate_version(void);

/* ---- on the device ---- */

/**
 * liveupdate_open() - Open LIVEUPDATE_DEVICE.
 *
 * By default it is open in one process at a time. Sessions do not need it once
 * they are there: close it soon.
 *
 * Return: the device's fd. -EBUSY: another process has it open. -ENOENT or
 * -ENXIO: no such kernel, or live update is off. -EACCES.
 */
int liveupdate_open(void);

/**
 * liveupdate_create_session() - Make an outgoing session.
 * @dev:  the device
 * @name: 1 to 63 bytes, unique among outgoing sessions
 *
 * The last close of the session takes all files out of it and ends it.
 *
 * Return: the session's fd. -EINVAL: bad name. -EEXIST: the name is in use.
 * -ENOMEM, -EMFILE.
 */
int liveupdate_create_session(int dev, const char *name);

/**
 * liveupdate_claim_session() - Get an incoming session that is kept.
 * @dev:  the device
 * @name: what the session was created as
 *
 * Until liveupdate_finish() the last close of the session, also by the death of
 * its holder, gives it back to the kernel as it came, and it can be claimed
 * again.
 *
 * Return: the session's fd. -EOPNOTSUPP: the kernel can't take sessions back;
 * the session is untouched, see liveupdate_retrieve_session(). -ENOENT: no such
 * session. -EINVAL: bad name, or another process has the session. -EBADMSG:
 * what came from the previous kernel is damaged. -ENOMEM, -EMFILE.
 */
int liveupdate_claim_session(int dev, const char *name);

/**
 * liveupdate_retrieve_session() - Get an incoming session, once.
 * @dev:  the device
 * @name: what the session was created as
 *
 * The last close finishes the session: files not retrieved by then are freed.
 *
 * Return: the session's fd. Errors as liveupdate_claim_session(), but
 * -EOPNOTSUPP.
 */
int liveupdate_retrieve_session(int dev, const char *name);

/**
 * liveupdate_get_info() - What the kernel can do, and how much it holds.
 * @dev:  the device
 * @info: filled in
 *
 * Return: 0. -ENOTTY, or -EINVAL in mainline: the kernel has no such call.
 */
int liveupdate_get_info(int dev, struct liveupdate_ioctl_get_info *info);

/**
 * liveupdate_list_sessions() - List sessions, both ways.
 * @dev:     the device
 * @cursor:  0 for the first call; advanced
 * @entries: filled in
 * @count:   how many entries fit, at least 1
 *
 * Return: the number of entries filled in, 0 at the end of the list. -ENOTTY,
 * or -EINVAL in mainline: the kernel has no such call.
 */
int liveupdate_list_sessions(int dev, uint64_t *cursor,
			     struct liveupdate_session_entry *entries,
			     uint32_t count);

/* ---- on an outgoing session ---- */

/**
 * liveupdate_preserve_fd() - Put a file into a session.
 * @session: the session
 * @fd:      the file; it stays open and in use
 * @token:   what it is found under in the next kernel, unique in the session
 *
 * Return: 0. -EBADF: no such fd. -ENOENT: this kind of file can't be preserved.
 * -EEXIST: the token is in use. -EBUSY: the file is preserved already, or
 * somebody was writing to it: try again. -EINVAL: an incoming session. -ENOMEM. Else
 * an error of this kind of file.
 */
int liveupdate_preserve_fd(int session, int fd, uint64_t token);

/**
 * liveupdate_unpreserve_fd() - Take a file out again.
 * @session: the session
 * @token:   what it was preserved under
 *
 * Return: 0. -ENOENT: no such token. -EBUSY: another file depends on the file.
 * -ENOTTY, or -EINVAL in mainline: the kernel has no such call.
 */
int liveupdate_unpreserve_fd(int session, uint64_t token);

/* ---- on an incoming session ---- */

/**
 * liveupdate_retrieve_fd() - Get a file back.
 * @session: the session
 * @token:   what it was preserved under
 *
 * Files may be retrieved in any order. A second call gives another fd.
 *
 * Return: the file's fd. -ENOENT: no such token. -ENODEV: the driver for it is
 * not loaded yet. -ENOMEM, -EMFILE: try again. -ELOOP: it needs another, which
 * needs another, and so on: retrieve those first. -EBADMSG: what came from the
 * previous kernel is damaged. Else an error of this kind of file. The session
 * keeps the file whatever the error.
 */
int liveupdate_retrieve_fd(int session, uint64_t token);

/**
 * liveupdate_finish() - End a session.
 * @session: the session; to be closed by the caller
 *
 * Files that were retrieved are the caller's alone, all others are freed: call
 * it when every file that matters was retrieved.
 *
 * Return: 0. On an error no file was finished: -EBUSY: a file can't be finished
 * now. -ENODEV: the driver of a file that was not retrieved is not loaded.
 * -EINVAL: finished already, or an outgoing session.
 */
int liveupdate_finish(int session);

/**
 * liveupdate_abandon() - End a session with files that nobody here knows.
 * @session: the session; to be closed by the caller
 * @files:   set to the number of files whose memory stays reserved: those that
 *           are listed as without a handler, or damaged
 *
 * The other files are finished as by liveupdate_finish().
 *
 * Return: 0. On an error nothing has changed: -EPERM: needs CAP_SYS_ADMIN.
 * -EBUSY: a file can't be finished now. -EINVAL: finished already, or an outgoing
 * session. -ENOTTY, or -EINVAL in mainline: the kernel has no such call.
 */
int liveupdate_abandon(int session, uint64_t *files);

/**
 * liveupdate_set_flags() - Say what happens at the last close.
 * @session: the session
 * @flags:   LIVEUPDATE_SESSION_* in force from now on
 *
 * Return: 0. -EOPNOTSUPP: the kernel does not know a flag. -EINVAL: an outgoing
 * session. -ENOTTY, or -EINVAL in mainline: the kernel has no such call.
 */
int liveupdate_set_flags(int session, uint32_t flags);

/* ---- on both ---- */

/**
 * liveupdate_get_name() - What a session was created as.
 * @session: the session
 * @name:    filled in, with a NUL
 *
 * Return: 0. -ENOTTY: the kernel has no such call.
 */
int liveupdate_get_name(int session, char name[LIVEUPDATE_SESSION_NAME_LENGTH]);

/**
 * liveupdate_list_files() - List the files of a session.
 * @session: the session
 * @cursor:  0 for the first call; advanced
 * @entries: filled in
 * @count:   how many entries fit, at least 1
 *
 * Return: the number of entries filled in, 0 at the end of the list. -ENOTTY,
 * or -EINVAL in mainline: the kernel has no such call.
 */
int liveupdate_list_files(int session, uint64_t *cursor,
			  struct liveupdate_file_entry *entries,
			  uint32_t count);

#ifdef __cplusplus
}
#endif

#endif /* LIBLIVEUPDATE_H */
