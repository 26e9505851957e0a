/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Live Update Orchestrator: keep files across kexec.
 *
 * /dev/liveupdate makes and finds sessions, a session fd takes files in and
 * gives them back. See Documentation/userspace-api/liveupdate.rst.
 */
#ifndef _UAPI_LINUX_LIVEUPDATE_H
#define _UAPI_LINUX_LIVEUPDATE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Every argument starts with its size as userspace was compiled with. A size
 * below the first version of the structure is EINVAL, a size above a page or
 * non-zero bytes beyond what the kernel knows are E2BIG, an unknown command is
 * ENOTTY, a command on the wrong kind of session is EINVAL, and so is a
 * reserved field that is not zero. EINTR: killed while waiting.
 */
#define LIVEUPDATE_IOCTL_TYPE		0xBA

/* Bytes of a session name, with its NUL. */
#define LIVEUPDATE_SESSION_NAME_LENGTH	64

/* Bytes of a file handler's name, with its NUL. */
#define LIVEUPDATE_HANDLER_NAME_LENGTH	48

/* Bytes of a format name in struct liveupdate_ioctl_get_info, with its NUL. */
#define LIVEUPDATE_FORMAT_NAME_LENGTH	16

/**
 * struct liveupdate_ioctl_create_session - ioctl(LIVEUPDATE_IOCTL_CREATE_SESSION)
 * @size: Size of this structure, in.
 * @fd:   The new session, close-on-exec, out.
 * @name: 1 to 63 bytes and a NUL, in.
 *
 * Make an outgoing session. Closing its last fd undoes everything in it.
 *
 * EINVAL: empty or unterminated name. EEXIST: an outgoing session has the name.
 */
struct liveupdate_ioctl_create_session {
	__u32	size;
	__s32	fd;
	__u8	name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

#define LIVEUPDATE_IOCTL_CREATE_SESSION \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x00)

/**
 * struct liveupdate_ioctl_retrieve_session - ioctl(LIVEUPDATE_IOCTL_RETRIEVE_SESSION)
 * @size: Size of this structure, in.
 * @fd:   The session, close-on-exec, out.
 * @name: Name the session was created with, in.
 *
 * Get a session that came from the previous kernel. Closing its last fd
 * finishes it, unless LIVEUPDATE_SESSION_KEEP_ON_CLOSE is set.
 *
 * ENOENT: no such session. EINVAL: bad name, or somebody has the session.
 * EBADMSG: the list of its files can't be read.
 */
struct liveupdate_ioctl_retrieve_session {
	__u32	size;
	__s32	fd;
	__u8	name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

#define LIVEUPDATE_IOCTL_RETRIEVE_SESSION \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x01)

/* Bits of @features in struct liveupdate_ioctl_get_info. */
#define LIVEUPDATE_FEATURE_LIST			0x1ULL /* LIST_SESSIONS, LIST_FILES */
#define LIVEUPDATE_FEATURE_UNPRESERVE_FD	0x2ULL
#define LIVEUPDATE_FEATURE_KEEP_ON_CLOSE	0x4ULL
#define LIVEUPDATE_FEATURE_ABANDON		0x8ULL
#define LIVEUPDATE_FEATURE_CLAIM_SESSION	0x10ULL

/**
 * struct liveupdate_ioctl_get_info - ioctl(LIVEUPDATE_IOCTL_GET_INFO)
 * @size:              Size of this structure, in.
 * @reserved:          Zero, in.
 * @features:          LIVEUPDATE_FEATURE_* this kernel has, out.
 * @number:            Live updates since the last cold boot, out.
 * @outgoing_sessions: Sessions to hand over, out.
 * @outgoing_files:    Files in them, out.
 * @incoming_sessions: Sessions from the previous kernel not yet finished, out.
 * @incoming_files:    Files in them, out.
 * @kho_format:        Format of the handed over memory map, out.
 * @luo_format:        Format of the handed over sessions, out.
 */
struct liveupdate_ioctl_get_info {
	__u32	size;
	__u32	reserved;
	__aligned_u64	features;
	__aligned_u64	number;
	__aligned_u64	outgoing_sessions;
	__aligned_u64	outgoing_files;
	__aligned_u64	incoming_sessions;
	__aligned_u64	incoming_files;
	__u8	kho_format[LIVEUPDATE_FORMAT_NAME_LENGTH];
	__u8	luo_format[LIVEUPDATE_FORMAT_NAME_LENGTH];
};

#define LIVEUPDATE_IOCTL_GET_INFO \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x3f)

/* Values of @state in struct liveupdate_session_entry. */
enum liveupdate_session_state {
	LIVEUPDATE_SESSION_STATE_OUTGOING	= 0, /* open, to be handed over */
	LIVEUPDATE_SESSION_STATE_INCOMING	= 1, /* waits to be retrieved */
	LIVEUPDATE_SESSION_STATE_RETRIEVED	= 2, /* incoming, somebody has it */
	LIVEUPDATE_SESSION_STATE_DAMAGED	= 3, /* incoming, can't be retrieved */
};

/**
 * struct liveupdate_session_entry - One session in a list.
 * @files:    Number of files in the session.
 * @state:    enum liveupdate_session_state.
 * @reserved: Zero.
 * @name:     Name with its NUL.
 */
struct liveupdate_session_entry {
	__aligned_u64	files;
	__u32	state;
	__u32	reserved;
	__u8	name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

/**
 * struct liveupdate_ioctl_list_sessions - ioctl(LIVEUPDATE_IOCTL_LIST_SESSIONS)
 * @size:    Size of this structure, in.
 * @count:   Entries that fit at @entries, in; entries written, out.
 * @cursor:  0 for the first call, else what the last call left, in and out.
 * @entries: Address of an array of struct liveupdate_session_entry, in.
 *
 * The end is reached when @count comes back as 0. Each session that exists
 * from the first to the last call is listed exactly once.
 *
 * EINVAL: @count is 0.
 */
struct liveupdate_ioctl_list_sessions {
	__u32	size;
	__u32	count;
	__aligned_u64	cursor;
	__aligned_u64	entries;
};

#define LIVEUPDATE_IOCTL_LIST_SESSIONS \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x3e)

/*
 * RETRIEVE_SESSION, and LIVEUPDATE_SESSION_KEEP_ON_CLOSE is set from the start:
 * there is no moment in which the death of the caller would finish the session.
 */
#define LIVEUPDATE_IOCTL_CLAIM_SESSION \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x3d)

/**
 * struct liveupdate_session_preserve_fd - ioctl(LIVEUPDATE_SESSION_PRESERVE_FD)
 * @size:  Size of this structure, in.
 * @fd:    File to preserve, in.
 * @token: Caller's name for the file, unique in the session, in.
 *
 * Outgoing sessions. A failure leaves the session as it was.
 *
 * EBADF: no such fd. EINVAL: a session, or the device itself. ENOENT: no handler
 * takes this file. EEXIST: token in use. EBUSY: the file is preserved already, by
 * whatever fd or session; or somebody was writing to it: try again. ENOMEM. Else
 * the handler's own error.
 */
struct liveupdate_session_preserve_fd {
	__u32	size;
	__s32	fd;
	__aligned_u64	token;
};

#define LIVEUPDATE_SESSION_PRESERVE_FD \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x40)

/**
 * struct liveupdate_session_retrieve_fd - ioctl(LIVEUPDATE_SESSION_RETRIEVE_FD)
 * @size:  Size of this structure, in.
 * @fd:    The file, close-on-exec, out.
 * @token: What the file was preserved under, in.
 *
 * Incoming sessions. Files may be retrieved in any order. A second call gives
 * another fd of the same file.
 *
 * ENOENT: no such token. ENODEV: the handler of this file is not registered;
 * try again when it is. ENOMEM, EAGAIN, EBUSY, EMFILE, ENFILE: try again. ELOOP:
 * the file needs another, which needs another, and so on: retrieve those first.
 * EBADMSG: the record of this file is damaged. EACCES: a security module keeps
 * the caller from receiving it. Else the handler's own error.
 */
struct liveupdate_session_retrieve_fd {
	__u32	size;
	__s32	fd;
	__aligned_u64	token;
};

#define LIVEUPDATE_SESSION_RETRIEVE_FD \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x41)

/**
 * struct liveupdate_session_finish - ioctl(LIVEUPDATE_SESSION_FINISH)
 * @size:     Size of this structure, in.
 * @reserved: Zero, in.
 *
 * Incoming sessions. Release what LUO still holds; files never retrieved are
 * freed. All or nothing: on an error no file was finished.
 *
 * EBUSY: a file can't be finished now. ENODEV: the handler of a file that was
 * not retrieved is not registered: see LIVEUPDATE_SESSION_ABANDON. EINVAL: the
 * session is finished already.
 */
struct liveupdate_session_finish {
	__u32	size;
	__u32	reserved;
};

#define LIVEUPDATE_SESSION_FINISH \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x42)

/**
 * struct liveupdate_session_get_name - ioctl(LIVEUPDATE_SESSION_GET_NAME)
 * @size:     Size of this structure, in.
 * @reserved: Zero, in.
 * @name:     Full name of the session with its NUL, out.
 */
struct liveupdate_session_get_name {
	__u32	size;
	__u32	reserved;
	__u8	name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

#define LIVEUPDATE_SESSION_GET_NAME \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x43)

/* Closing the last fd gives the session back instead of finishing it. */
#define LIVEUPDATE_SESSION_KEEP_ON_CLOSE	0x1U

/**
 * struct liveupdate_session_set_flags - ioctl(LIVEUPDATE_SESSION_SET_FLAGS)
 * @size:  Size of this structure, in.
 * @flags: LIVEUPDATE_SESSION_* to be in force from now on, in.
 *
 * Incoming sessions.
 *
 * EOPNOTSUPP: a flag this kernel does not know.
 */
struct liveupdate_session_set_flags {
	__u32	size;
	__u32	flags;
};

#define LIVEUPDATE_SESSION_SET_FLAGS \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x7d)

/**
 * struct liveupdate_session_abandon - ioctl(LIVEUPDATE_SESSION_ABANDON)
 * @size:     Size of this structure, in.
 * @reserved: Zero, in.
 * @files:    Files whose memory stays reserved, out.
 *
 * Incoming sessions. Finish the session without the files that nobody here knows:
 * those whose handler is not registered or whose record is damaged. Nobody knows
 * what memory is theirs, so it stays reserved in this kernel. The other files are
 * finished as by LIVEUPDATE_SESSION_FINISH; on an error nothing has changed.
 *
 * EPERM: the caller lacks CAP_SYS_ADMIN. EBUSY: a file can't be finished now.
 */
struct liveupdate_session_abandon {
	__u32	size;
	__u32	reserved;
	__aligned_u64	files;
};

#define LIVEUPDATE_SESSION_ABANDON \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x7c)

/* Values of @state in struct liveupdate_file_entry. */
enum liveupdate_file_state {
	LIVEUPDATE_FILE_STATE_PRESERVED	= 0, /* outgoing */
	LIVEUPDATE_FILE_STATE_INCOMING	= 1, /* waits to be retrieved */
	LIVEUPDATE_FILE_STATE_RETRIEVED	= 2,
	LIVEUPDATE_FILE_STATE_DAMAGED	= 3, /* can't be retrieved, or its handler went */
	LIVEUPDATE_FILE_STATE_NO_HANDLER = 4, /* incoming, RETRIEVE_FD says ENODEV */
};

/**
 * struct liveupdate_file_entry - One file in a list.
 * @token:    What the file was preserved under.
 * @state:    enum liveupdate_file_state.
 * @waiting:  MiB, rounded up, that are yet to come into a retrieved file.
 * @handler:  Name of the file's handler with its NUL.
 */
struct liveupdate_file_entry {
	__aligned_u64	token;
	__u32	state;
	__u32	waiting;
	__u8	handler[LIVEUPDATE_HANDLER_NAME_LENGTH];
};

/**
 * struct liveupdate_session_list_files - ioctl(LIVEUPDATE_SESSION_LIST_FILES)
 * @size:    Size of this structure, in.
 * @count:   Entries that fit at @entries, in; entries written, out.
 * @cursor:  0 for the first call, else what the last call left, in and out.
 * @entries: Address of an array of struct liveupdate_file_entry, in.
 *
 * Works as ioctl(LIVEUPDATE_IOCTL_LIST_SESSIONS) does.
 */
struct liveupdate_session_list_files {
	__u32	size;
	__u32	count;
	__aligned_u64	cursor;
	__aligned_u64	entries;
};

#define LIVEUPDATE_SESSION_LIST_FILES \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x7e)

/**
 * struct liveupdate_session_unpreserve_fd - ioctl(LIVEUPDATE_SESSION_UNPRESERVE_FD)
 * @size:     Size of this structure, in.
 * @reserved: Zero, in.
 * @token:    What the file was preserved under, in.
 *
 * Outgoing sessions. Take one file out again.
 *
 * ENOENT: no such token. EBUSY: another file of the session depends on the file.
 */
struct liveupdate_session_unpreserve_fd {
	__u32	size;
	__u32	reserved;
	__aligned_u64	token;
};

#define LIVEUPDATE_SESSION_UNPRESERVE_FD \
	_IO(LIVEUPDATE_IOCTL_TYPE, 0x7f)

#endif /* _UAPI_LINUX_LIVEUPDATE_H */
