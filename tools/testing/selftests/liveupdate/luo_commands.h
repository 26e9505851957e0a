/* SPDX-License-Identifier: GPL-2.0 */
/* The commands, and arguments of every length for them. */
#ifndef LUO_COMMANDS_H
#define LUO_COMMANDS_H

#include "luo_test.h"

/* Which file a command is given to. */
enum luo_target {
	LUO_DEVICE_FILE,
	LUO_OUTGOING_SESSION,
	LUO_INCOMING_SESSION,
	LUO_TARGETS,
};

/* A command with an argument that has no effect, and what that gives by target. */
struct luo_command {
	const char *name;
	unsigned int cmd;
	__u32 size;
	const void *arg;
	int result[LUO_TARGETS];
};

#define LUO_COMMAND(_cmd, _struct, ...)						\
	.name = #_cmd, .cmd = _cmd, .size = sizeof(struct _struct),		\
	.arg = &(const struct _struct){ __VA_ARGS__ }

/* A command on the device, with what it gives and the fields of its argument. */
#define LUO_DEVICE_COMMAND(_cmd, _struct, _result, ...)				\
	{ LUO_COMMAND(_cmd, _struct, __VA_ARGS__),				\
	  .result = { [LUO_DEVICE_FILE] = _result } }

/* A command on sessions, with what it gives on an outgoing and on an incoming one. */
#define LUO_SESSION_COMMAND(_cmd, _struct, _outgoing, _incoming, ...)		\
	{ LUO_COMMAND(_cmd, _struct, __VA_ARGS__),				\
	  .result = { [LUO_OUTGOING_SESSION] = _outgoing,			\
		      [LUO_INCOMING_SESSION] = _incoming } }

static struct liveupdate_session_entry luo_session_entry;
static struct liveupdate_file_entry luo_file_entry;

static const struct luo_command luo_device_commands[] = {
	/* The name is taken, so that nothing is made. */
	LUO_DEVICE_COMMAND(LIVEUPDATE_IOCTL_CREATE_SESSION, liveupdate_ioctl_create_session,
			   -EEXIST, .name = "arguments"),
	LUO_DEVICE_COMMAND(LIVEUPDATE_IOCTL_RETRIEVE_SESSION, liveupdate_ioctl_retrieve_session,
			   -ENOENT, .name = "none"),
	LUO_DEVICE_COMMAND(LIVEUPDATE_IOCTL_CLAIM_SESSION, liveupdate_ioctl_retrieve_session,
			   -ENOENT, .name = "none"),
	LUO_DEVICE_COMMAND(LIVEUPDATE_IOCTL_GET_INFO, liveupdate_ioctl_get_info, 0),
	LUO_DEVICE_COMMAND(LIVEUPDATE_IOCTL_LIST_SESSIONS, liveupdate_ioctl_list_sessions, 0,
			   .count = 1, .entries = (uintptr_t)&luo_session_entry),
	{}
};

static const struct luo_command luo_session_commands[] = {
	LUO_SESSION_COMMAND(LIVEUPDATE_SESSION_PRESERVE_FD, liveupdate_session_preserve_fd,
			    -EBADF, -EINVAL, .fd = -1),
	LUO_SESSION_COMMAND(LIVEUPDATE_SESSION_UNPRESERVE_FD, liveupdate_session_unpreserve_fd,
			    -ENOENT, -EINVAL, .token = 1),
	LUO_SESSION_COMMAND(LIVEUPDATE_SESSION_GET_NAME, liveupdate_session_get_name, 0, 0),
	LUO_SESSION_COMMAND(LIVEUPDATE_SESSION_LIST_FILES, liveupdate_session_list_files, 0, 0,
			    .count = 1, .entries = (uintptr_t)&luo_file_entry),
	LUO_SESSION_COMMAND(LIVEUPDATE_SESSION_RETRIEVE_FD, liveupdate_session_retrieve_fd,
			    -EINVAL, -ENOENT, .token = 99),
	LUO_SESSION_COMMAND(LIVEUPDATE_SESSION_FINISH, liveupdate_session_finish,
			    -EINVAL, -EINVAL, .reserved = 1),
	LUO_SESSION_COMMAND(LIVEUPDATE_SESSION_ABANDON, liveupdate_session_abandon,
			    -EINVAL, -EINVAL, .reserved = 1),
	LUO_SESSION_COMMAND(LIVEUPDATE_SESSION_SET_FLAGS, liveupdate_session_set_flags,
			    -EINVAL, 0),
	{}
};

enum luo_tail {
	LUO_TAIL_ZERO,
	LUO_TAIL_FIRST,		/* first byte beyond what the kernel knows is set */
	LUO_TAIL_LAST,
	LUO_TAILS,
};

static inline int luo_length_expected(const struct luo_command *command,
				      enum luo_target target, __u32 size, enum luo_tail tail)
{
	if (size < command->size)
		return -EINVAL;
	if (size > sysconf(_SC_PAGESIZE))
		return -E2BIG;
	if (size == command->size || tail == LUO_TAIL_ZERO)
		return command->result[target];
	return -E2BIG;
}

static inline int luo_length_try(int fd, const struct luo_command *command, __u32 size,
				 enum luo_tail tail)
{
	static unsigned char buf[1 << 17];

	memset(buf, 0, size);
	memcpy(buf, command->arg, command->size);
	memcpy(buf, &size, sizeof(size));
	if (size > command->size && tail == LUO_TAIL_FIRST)
		buf[command->size] = 1;
	if (size > command->size && tail == LUO_TAIL_LAST)
		buf[size - 1] = 0x80;
	return luo_call(fd, command->cmd, buf);
}

/*
 * Try every length from nothing to beyond a page, with each kind of tail.
 * Returns what was wrong first, or NULL.
 */
static inline const char *luo_length_wrong(int fd, enum luo_target target,
					   const struct luo_command *command)
{
	__u32 size, end = sysconf(_SC_PAGESIZE) + 16;
	static char text[160];
	enum luo_tail tail;

	for (size = 0; size <= end; size++) {
		for (tail = 0; tail < LUO_TAILS; tail++) {
			int want = luo_length_expected(command, target, size, tail);
			int seen = luo_length_try(fd, command, size, tail);

			if (seen == want)
				continue;
			snprintf(text, sizeof(text),
				 "%s of %u bytes, tail %u: %d instead of %d",
				 command->name, size, tail, seen, want);
			return text;
		}
	}
	return NULL;
}

#endif /* LUO_COMMANDS_H */
