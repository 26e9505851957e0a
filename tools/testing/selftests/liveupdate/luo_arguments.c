// SPDX-License-Identifier: GPL-2.0
/*
 * Arguments of the commands on /dev/liveupdate and on outgoing sessions: every
 * length, unknown numbers and values, memory that can't be read or written,
 * and no fd left. Those of incoming sessions are tried by luo_kexec.
 */

#include <sys/resource.h>

#include "../kselftest_harness.h"
#include "luo_commands.h"

FIXTURE(arguments)
{
	int dev;
	int session;
	/* A page that can be written, one that can be read, one that is not there. */
	char *writable;
	char *readable;
	char *missing;
};

FIXTURE_SETUP(arguments)
{
	long page = sysconf(_SC_PAGESIZE);

	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "arguments");
	ASSERT_LE(0, self->session);

	self->writable = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->writable);
	self->readable = self->writable + page;
	self->missing = self->writable + 2 * page;
	ASSERT_EQ(0, munmap(self->missing, page));
}

FIXTURE_TEARDOWN(arguments)
{
}

static bool has_number(const struct luo_command *command, unsigned int nr)
{
	while (command->name && _IOC_NR(command->cmd) != nr)
		command++;
	return command->name;
}

TEST_F_TIMEOUT(arguments, device_commands_accept_their_length_and_longer_zeroes, 120)
{
	const struct luo_command *command;

	for (command = luo_device_commands; command->name; command++) {
		const char *wrong = luo_length_wrong(self->dev, LUO_DEVICE_FILE, command);

		EXPECT_NULL(wrong)
			TH_LOG("%s", wrong);
	}
}

TEST_F_TIMEOUT(arguments, session_commands_accept_their_length_and_longer_zeroes, 120)
{
	const struct luo_command *command;

	for (command = luo_session_commands; command->name; command++) {
		const char *wrong = luo_length_wrong(self->session, LUO_OUTGOING_SESSION, command);

		EXPECT_NULL(wrong)
			TH_LOG("%s", wrong);
	}
}

TEST_F(arguments, longer_argument_with_zeroes_has_the_same_effect)
{
	struct {
		struct liveupdate_ioctl_create_session cmd;
		char future[100];
	} create = { .cmd = { .size = sizeof(create), .name = "longer" } };
	struct {
		struct liveupdate_session_preserve_fd cmd;
		char future[100];
	} preserve = { .cmd = { .size = sizeof(preserve), .token = 5 } };

	ASSERT_EQ(0, luo_call(self->dev, LIVEUPDATE_IOCTL_CREATE_SESSION, &create));
	preserve.cmd.fd = luo_memfd(4096);
	ASSERT_LE(0, preserve.cmd.fd);
	ASSERT_EQ(0, luo_call(create.cmd.fd, LIVEUPDATE_SESSION_PRESERVE_FD, &preserve));
	EXPECT_EQ(1, luo_count_files(create.cmd.fd));
}

TEST_F(arguments, unknown_number_is_ENOTTY)
{
	char arg[256] = {};
	unsigned int nr;

	for (nr = 0; nr < 256; nr++) {
		unsigned int cmd = _IO(LIVEUPDATE_IOCTL_TYPE, nr);

		if (!has_number(luo_device_commands, nr)) {
			EXPECT_EQ(-ENOTTY, luo_call(self->dev, cmd, arg))
				TH_LOG("%#x on the device", nr);
		}
		if (!has_number(luo_session_commands, nr)) {
			EXPECT_EQ(-ENOTTY, luo_call(self->session, cmd, arg))
				TH_LOG("%#x on a session", nr);
		}
	}
}

TEST_F(arguments, known_number_of_another_type_or_direction_is_ENOTTY)
{
	struct liveupdate_session_get_name name = { .size = sizeof(name) };
	struct liveupdate_ioctl_get_info info = { .size = sizeof(info) };

	EXPECT_EQ(-ENOTTY, luo_call(self->dev, _IO(0xBB, 0x3f), &info));
	EXPECT_EQ(-ENOTTY, luo_call(self->dev,
				    _IOWR(LIVEUPDATE_IOCTL_TYPE, 0x3f, info), &info));
	EXPECT_EQ(-ENOTTY, luo_call(self->session, _IO(0xB9, 0x43), &name));
	EXPECT_EQ(-ENOTTY, luo_call(self->session,
				    _IOR(LIVEUPDATE_IOCTL_TYPE, 0x43, name), &name));
}

TEST_F(arguments, number_is_judged_before_the_argument)
{
	EXPECT_EQ(-ENOTTY, luo_call(self->dev, _IO(LIVEUPDATE_IOCTL_TYPE, 0x02), NULL));
	EXPECT_EQ(-EFAULT, luo_call(self->dev, LIVEUPDATE_IOCTL_GET_INFO, NULL));
}

TEST_F(arguments, reserved_field_that_is_set_is_EINVAL)
{
	struct liveupdate_ioctl_get_info info = { .size = sizeof(info), .reserved = 1 };
	struct liveupdate_session_get_name name = { .size = sizeof(name), .reserved = 1 };
	struct liveupdate_session_unpreserve_fd unpreserve = {
		.size = sizeof(unpreserve),
		.reserved = 1,
	};
	int fd = luo_memfd(0);

	ASSERT_EQ(0, luo_preserve(self->session, fd, 0));
	EXPECT_EQ(-EINVAL, luo_call(self->dev, LIVEUPDATE_IOCTL_GET_INFO, &info));
	EXPECT_EQ(-EINVAL,
		  luo_call(self->session, LIVEUPDATE_SESSION_GET_NAME, &name));
	EXPECT_EQ(-EINVAL,
		  luo_call(self->session, LIVEUPDATE_SESSION_UNPRESERVE_FD, &unpreserve));
	EXPECT_EQ(1, luo_count_files(self->session));
}

/* Puts an argument where only its first @len bytes can be read. */
static void *cut_off(char *end, const void *arg, size_t len)
{
	return memcpy(end - len, arg, len);
}

TEST_F(arguments, argument_that_is_partly_unreadable_is_EFAULT)
{
	struct liveupdate_ioctl_create_session create = {
		.size = sizeof(create),
		.name = "cut off",
	};
	size_t len;

	for (len = 4; len < sizeof(create); len++) {
		EXPECT_EQ(-EFAULT, luo_call(self->dev, LIVEUPDATE_IOCTL_CREATE_SESSION,
					    cut_off(self->missing, &create, len)))
			TH_LOG("%zu bytes", len);
	}
	EXPECT_EQ(-EFAULT, luo_call(self->dev, LIVEUPDATE_IOCTL_CREATE_SESSION,
				    self->missing - 2));
	EXPECT_LE(0, luo_create(self->dev, "cut off"));
}

static int next_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

TEST_F(arguments, session_is_not_made_if_its_fd_cant_be_told)
{
	struct liveupdate_ioctl_create_session create = {
		.size = sizeof(create),
		.name = "untold",
	};
	struct liveupdate_ioctl_get_info before, after;
	int fd = next_fd();

	ASSERT_EQ(0, luo_info(self->dev, &before));
	memcpy(self->readable, &create, sizeof(create));
	ASSERT_EQ(0, mprotect(self->readable, sysconf(_SC_PAGESIZE), PROT_READ));

	EXPECT_EQ(-EFAULT, luo_call(self->dev, LIVEUPDATE_IOCTL_CREATE_SESSION,
				    self->readable));
	ASSERT_EQ(0, luo_info(self->dev, &after));
	EXPECT_EQ(before.outgoing_sessions, after.outgoing_sessions);
	EXPECT_EQ(fd, next_fd());
	EXPECT_LE(0, luo_create(self->dev, "untold"));
}

TEST_F(arguments, refused_session_leaves_the_argument_as_it_was)
{
	struct liveupdate_ioctl_create_session create = {
		.size = sizeof(create),
		.fd = -12345,
		.name = "arguments",
	};

	EXPECT_EQ(-EEXIST, luo_call(self->dev, LIVEUPDATE_IOCTL_CREATE_SESSION, &create));
	EXPECT_EQ(-12345, create.fd);
}

TEST_F(arguments, command_without_output_needs_no_writable_argument)
{
	struct liveupdate_session_preserve_fd preserve = {
		.size = sizeof(preserve),
		.fd = luo_memfd(4096),
		.token = 3,
	};

	ASSERT_LE(0, preserve.fd);
	memcpy(self->readable, &preserve, sizeof(preserve));
	ASSERT_EQ(0, mprotect(self->readable, sysconf(_SC_PAGESIZE), PROT_READ));

	EXPECT_EQ(0, luo_call(self->session, LIVEUPDATE_SESSION_PRESERVE_FD,
			      self->readable));
	EXPECT_EQ(-EEXIST, luo_preserve(self->session, preserve.fd, 3));
}

TEST_F(arguments, output_that_cant_be_written_is_EFAULT)
{
	union {
		struct liveupdate_ioctl_get_info info;
		struct liveupdate_session_get_name name;
		struct liveupdate_ioctl_list_sessions list;
	} *arg = (void *)self->readable;
	long page = sysconf(_SC_PAGESIZE);

	arg->info = (struct liveupdate_ioctl_get_info) { .size = sizeof(arg->info) };
	ASSERT_EQ(0, mprotect(self->readable, page, PROT_READ));
	EXPECT_EQ(-EFAULT, luo_call(self->dev, LIVEUPDATE_IOCTL_GET_INFO, arg));

	ASSERT_EQ(0, mprotect(self->readable, page, PROT_READ | PROT_WRITE));
	arg->name = (struct liveupdate_session_get_name) { .size = sizeof(arg->name) };
	ASSERT_EQ(0, mprotect(self->readable, page, PROT_READ));
	EXPECT_EQ(-EFAULT, luo_call(self->session, LIVEUPDATE_SESSION_GET_NAME, arg));
}

TEST_F(arguments, list_whose_entries_cant_be_written_is_EFAULT)
{
	struct liveupdate_ioctl_list_sessions sessions = {
		.size = sizeof(sessions),
		.count = 2,
		.entries = (uintptr_t)self->missing - sizeof(luo_session_entry),
	};
	struct liveupdate_session_list_files files = {
		.size = sizeof(files),
		.count = 1,
		.entries = 8,
	};

	/* The first entry fits, the second does not. */
	ASSERT_LE(0, luo_create(self->dev, "second"));
	EXPECT_EQ(-EFAULT, luo_call(self->dev, LIVEUPDATE_IOCTL_LIST_SESSIONS, &sessions));
	EXPECT_EQ(0, sessions.cursor);
	EXPECT_EQ(2, sessions.count);

	ASSERT_EQ(0, luo_preserve(self->session, luo_memfd(0), 1));
	EXPECT_EQ(-EFAULT, luo_call(self->session, LIVEUPDATE_SESSION_LIST_FILES, &files));
	EXPECT_EQ(0, files.cursor);
	EXPECT_EQ(1, files.count);
}

TEST_F(arguments, list_for_no_entries_is_EINVAL)
{
	__u64 cursor = 0;

	EXPECT_EQ(-EINVAL, luo_list_sessions(self->dev, &cursor, NULL, 0));
	EXPECT_EQ(-EINVAL, luo_list_files(self->session, &cursor, NULL, 0));
}

TEST_F(arguments, list_from_beyond_the_end_is_empty)
{
	__u64 cursor = UINT64_MAX;

	EXPECT_EQ(0, luo_list_sessions(self->dev, &cursor, &luo_session_entry, 1));
	cursor = UINT64_MAX;
	EXPECT_EQ(0, luo_list_files(self->session, &cursor, &luo_file_entry, 1));
}

TEST_F(arguments, session_is_not_made_if_there_is_no_fd_left)
{
	struct rlimit limit;
	int n, fds[64];

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 32;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (n = 0; n < 64; n++) {
		fds[n] = dup(self->dev);
		if (fds[n] < 0)
			break;
	}
	ASSERT_GT(64, n);

	EXPECT_EQ(-EMFILE, luo_create(self->dev, "no fd"));
	close(fds[0]);
	EXPECT_EQ(fds[0], luo_create(self->dev, "no fd"));
}

TEST_F(arguments, other_calls_on_the_fds_do_nothing)
{
	char buf[16] = {};

	EXPECT_EQ(-1, read(self->dev, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->session, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->session, 0));
	EXPECT_EQ(-1, ftruncate(self->session, 0));
}

TEST_HARNESS_MAIN
