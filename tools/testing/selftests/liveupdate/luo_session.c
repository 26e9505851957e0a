// SPDX-License-Identifier: GPL-2.0
/*
 * Life of outgoing sessions: what their fds are, who keeps them alive, what
 * goes with them, lists of files, thousands of them, and a reboot that is
 * called off.
 */

#include <linux/magic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "../kselftest_harness.h"
#include "luo_test.h"

FIXTURE(session)
{
	int dev;
	int session;
};

FIXTURE_SETUP(session)
{
	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "session");
	ASSERT_LE(0, self->session);
}

FIXTURE_TEARDOWN(session)
{
}

/* A session is gone when its name is free. */
static bool gone(int dev, const char *name)
{
	int session = luo_create(dev, name);

	if (session < 0)
		return false;
	close(session);
	return true;
}

/* ---- what the fd is ---- */

TEST_F(session, fd_is_closed_on_exec)
{
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->session, F_GETFD));
}

TEST_F(session, fd_is_an_anonymous_inode_of_its_own)
{
	int other = luo_create(self->dev, "other");
	struct stat one, two;
	struct statfs fs;

	ASSERT_EQ(0, fstatfs(self->session, &fs));
	EXPECT_EQ(ANON_INODE_FS_MAGIC, fs.f_type);
	ASSERT_EQ(0, fstat(self->session, &one));
	ASSERT_EQ(0, fstat(other, &two));
	EXPECT_NE(one.st_ino, two.st_ino);
}

FIXTURE(naming)
{
	int dev;
};

FIXTURE_VARIANT(naming)
{
	const char *name;
};

FIXTURE_VARIANT_ADD(naming, one_byte) { .name = "x" };

FIXTURE_VARIANT_ADD(naming, 38_bytes) {
	.name = "38-bytes-name-38-bytes-name-38-bytes-n",
};

FIXTURE_VARIANT_ADD(naming, 39_bytes) {
	.name = "39-bytes-name-39-bytes-name-39-bytes-na",
};

FIXTURE_VARIANT_ADD(naming, 63_bytes) {
	.name = "63-bytes-name-63-bytes-name-63-bytes-name-63-bytes-name-63-byte",
};

FIXTURE_VARIANT_ADD(naming, format_characters) { .name = "%s%n%p 100%" };

FIXTURE_VARIANT_ADD(naming, path_characters) { .name = "../a/b\nc (deleted)" };

FIXTURE_VARIANT_ADD(naming, beyond_ascii) { .name = "\xc3\xa9t\xc3\xa9 \xff\xfe\x01" };

FIXTURE_SETUP(naming)
{
	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
}

FIXTURE_TEARDOWN(naming)
{
}

TEST_F(naming, whole_name_is_in_the_link_of_the_fd)
{
	int session = luo_create(self->dev, variant->name);
	char link[256], want[256];

	ASSERT_LE(0, session);
	snprintf(want, sizeof(want), "anon_inode:[luo_session] %s", variant->name);
	ASSERT_EQ(0, luo_fd_link(session, link, sizeof(link)));
	EXPECT_STREQ(want, link);
}

TEST_F(naming, whole_name_is_told_by_GET_NAME)
{
	int session = luo_create(self->dev, variant->name);
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];

	ASSERT_LE(0, session);
	ASSERT_EQ(0, luo_get_name(session, name));
	EXPECT_STREQ(variant->name, name);
}

TEST_F(session, fdinfo_tells_name_and_files)
{
	char path[64], line[128];
	bool name = false, files = false;
	FILE *f;

	ASSERT_EQ(0, luo_preserve(self->session, luo_memfd(0), 1));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->session);
	f = fopen(path, "r");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		name |= !strcmp(line, "liveupdate-session:\tsession\n");
		files |= !strcmp(line, "liveupdate-files:\t1\n");
	}
	EXPECT_TRUE(name);
	EXPECT_TRUE(files);
}

TEST_F(session, incoming_commands_are_EINVAL_on_an_outgoing_session)
{
	ASSERT_EQ(0, luo_preserve(self->session, luo_memfd(0), 1));
	EXPECT_EQ(-EINVAL, luo_retrieve_fd(self->session, 1));
	EXPECT_EQ(-EINVAL, luo_finish(self->session));
	EXPECT_EQ(-EINVAL, luo_set_flags(self->session, LIVEUPDATE_SESSION_KEEP_ON_CLOSE));
	EXPECT_EQ(1, luo_count_files(self->session));
}

/* ---- who keeps it alive ---- */

TEST_F(session, lives_until_its_last_copy_is_closed)
{
	int copy = dup(self->session);

	close(self->session);
	EXPECT_FALSE(gone(self->dev, "session"));
	EXPECT_EQ(0, luo_preserve(copy, luo_memfd(0), 1));
	close(copy);
	EXPECT_TRUE(gone(self->dev, "session"));
}

TEST_F(session, lives_on_in_a_child)
{
	int status, done[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(done));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(done[1]);
		_exit(read(done[0], &status, 1) != 0);
	}
	close(self->session);
	EXPECT_FALSE(gone(self->dev, "session"));
	close(done[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(gone(self->dev, "session"));
}

/* A child makes a session with a file in it and ends as told. */
static void live_and_die(int dev, int fd, int sig)
{
	int session = luo_create(dev, "mortal");

	if (session < 0 || luo_preserve(session, fd, 1))
		_exit(1);
	if (sig) {
		prctl(PR_SET_DUMPABLE, 0);
		raise(sig);
	}
	_exit(0);
}

FIXTURE(death)
{
	int dev;
	int fd;
};

FIXTURE_VARIANT(death)
{
	int sig;
};

FIXTURE_VARIANT_ADD(death, exit) { .sig = 0 };

FIXTURE_VARIANT_ADD(death, sigkill) { .sig = SIGKILL };

FIXTURE_VARIANT_ADD(death, sigsegv) { .sig = SIGSEGV };

FIXTURE_SETUP(death)
{
	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
	self->fd = luo_memfd(4096);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(death)
{
}

TEST_F(death, of_the_owner_undoes_everything)
{
	int status, session;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		live_and_die(self->dev, self->fd, variant->sig);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(variant->sig, WTERMSIG(status));
	ASSERT_TRUE(variant->sig || !WEXITSTATUS(status));

	EXPECT_TRUE(gone(self->dev, "mortal"));
	EXPECT_EQ(0, luo_read_number(LUO_SYSFS "outgoing_files"));
	EXPECT_EQ(0, ftruncate(self->fd, 8192));
	session = luo_create(self->dev, "next");
	EXPECT_EQ(0, luo_preserve(session, self->fd, 1));
}

/* ---- passing it on ---- */

static int send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = {};
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int sock)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(sock, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		return -EIO;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* Works on a session that comes through a socket; the exit code says how. */
static void work_on_passed_session(int sock, int fd)
{
	int session = receive_fd(sock);
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];

	if (session < 0)
		_exit(1);
	if (luo_get_name(session, name) || strcmp(name, "session"))
		_exit(2);
	if (luo_preserve(session, fd, 42))
		_exit(3);
	_exit(luo_count_files(session) == 1 ? 0 : 4);
}

TEST_F(session, passed_to_another_process_works_there)
{
	int status, sv[2], fd = luo_memfd(0);
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->session);
		close(sv[0]);
		work_on_passed_session(sv[1], fd);
	}
	ASSERT_EQ(0, send_fd(sv[0], self->session));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);

	/* What the other one has put in is still there. */
	EXPECT_EQ(-EEXIST, luo_preserve(self->session, luo_memfd(0), 42));
	close(self->session);
	EXPECT_TRUE(gone(self->dev, "session"));
}

TEST_F(session, lives_in_a_socket_and_dies_with_it)
{
	int sv[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	ASSERT_EQ(0, send_fd(sv[0], self->session));
	close(self->session);
	EXPECT_FALSE(gone(self->dev, "session"));
	close(sv[1]);
	EXPECT_TRUE(gone(self->dev, "session"));
}

TEST_F(session, in_itself_through_a_socket_is_collected)
{
	int sv[2], i;

	/* A socket in its own queue, with the session behind it. */
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	ASSERT_EQ(0, send_fd(sv[0], self->session));
	ASSERT_EQ(0, send_fd(sv[0], sv[1]));
	close(self->session);
	close(sv[0]);
	close(sv[1]);
	for (i = 0; i < 1000 && !gone(self->dev, "session"); i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
		close(sv[0]);
		close(sv[1]);
		usleep(20000);
	}
	EXPECT_GT(1000, i);
}

/* ---- what it keeps alive ---- */

TEST_F(session, keeps_its_files_alive)
{
	struct stat st;
	int fd = luo_filled_memfd(65536, 1);

	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(0, luo_preserve(self->session, fd, 1));
	close(fd);
	EXPECT_EQ(1, luo_count_files(self->session));
	EXPECT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, luo_count_files(self->session));
}

static long shmem_kib(void)
{
	char line[128];
	long kib = -1;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Shmem: %ld kB", &kib);
	if (f)
		fclose(f);
	return kib;
}

TEST_F(session, closed_frees_the_memory_of_its_files)
{
	long before = shmem_kib();
	int fd = luo_filled_memfd(16 << 20, 1);

	ASSERT_LT(0, before);
	ASSERT_EQ(0, luo_preserve(self->session, fd, 1));
	close(fd);
	EXPECT_LE(before + (12 << 10), shmem_kib());
	close(self->session);
	EXPECT_GT(before + (4 << 10), shmem_kib());
}

/* ---- LIST_FILES ---- */

TEST_F(session, list_tells_token_handler_and_state)
{
	struct liveupdate_file_entry entry;
	__u64 cursor = 0;

	ASSERT_EQ(0, luo_preserve(self->session, luo_memfd(0), UINT64_MAX));
	memset(&entry, 0xff, sizeof(entry));
	ASSERT_EQ(1, luo_list_files(self->session, &cursor, &entry, 1));
	EXPECT_EQ(UINT64_MAX, entry.token);
	EXPECT_EQ(LIVEUPDATE_FILE_STATE_PRESERVED, entry.state);
	EXPECT_EQ(0, entry.waiting);
	EXPECT_STREQ("memfd-v2", (char *)entry.handler);
	EXPECT_EQ(0, luo_list_files(self->session, &cursor, &entry, 1));
}

TEST_F(session, list_has_files_in_the_order_of_preservation)
{
	static const __u64 tokens[] = { 5, 1, UINT64_MAX, 0, 3, 2 };
	struct liveupdate_file_entry entries[8];
	unsigned int step, i, at;
	__u64 cursor;
	int n;

	for (i = 0; i < ARRAY_SIZE(tokens); i++)
		ASSERT_EQ(0, luo_preserve(self->session, luo_memfd(0), tokens[i]));
	for (step = 1; step <= ARRAY_SIZE(entries); step++) {
		cursor = 0;
		at = 0;
		while ((n = luo_list_files(self->session, &cursor, entries, step)) > 0) {
			for (i = 0; i < n && at < ARRAY_SIZE(tokens); i++)
				EXPECT_EQ(tokens[at++], entries[i].token);
		}
		EXPECT_EQ(ARRAY_SIZE(tokens), at);
	}
}

TEST_F(session, list_survives_changes_between_calls)
{
	struct liveupdate_file_entry entries[8];
	__u64 cursor = 0;
	int i;

	for (i = 0; i < 6; i++)
		ASSERT_EQ(0, luo_preserve(self->session, luo_memfd(0), i));
	ASSERT_EQ(3, luo_list_files(self->session, &cursor, entries, 3));
	ASSERT_EQ(0, luo_unpreserve(self->session, 0));
	ASSERT_EQ(0, luo_unpreserve(self->session, 3));
	ASSERT_EQ(0, luo_preserve(self->session, luo_memfd(0), 9));

	ASSERT_EQ(3, luo_list_files(self->session, &cursor, entries, 8));
	EXPECT_EQ(4, entries[0].token);
	EXPECT_EQ(5, entries[1].token);
	EXPECT_EQ(9, entries[2].token);
}

/* ---- many ---- */

#define MANY	4000

static void allow_many_fds(struct __test_metadata *_metadata)
{
	const struct rlimit limit = { MANY + 64, MANY + 64 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
}

static int create_numbered(int dev, int i)
{
	char name[32];

	snprintf(name, sizeof(name), "many %d", i);
	return luo_create(dev, name);
}

TEST_F_TIMEOUT(session, thousands_of_them, 300)
{
	static int sessions[MANY];
	struct liveupdate_session_entry entries[100];
	__u64 cursor = 0;
	int i, n, total = 0;

	allow_many_fds(_metadata);
	for (i = 0; i < MANY; i++) {
		sessions[i] = create_numbered(self->dev, i);
		ASSERT_LE(0, sessions[i]);
	}
	while ((n = luo_list_sessions(self->dev, &cursor, entries, 100)) > 0)
		total += n;
	EXPECT_EQ(MANY + 1, total);

	/* Every third goes; the records of the others move to fill the holes. */
	for (i = 0; i < MANY; i += 3)
		close(sessions[i]);
	EXPECT_EQ(MANY + 1 - (MANY + 2) / 3, luo_read_number(LUO_SYSFS "outgoing_sessions"));
	for (i = 0; i < MANY; i++) {
		int session = create_numbered(self->dev, i);

		ASSERT_EQ(i % 3, session < 0 ? i % 3 ?: -1 : 0)
			TH_LOG("session %d: %d", i, session);
	}
}

TEST_F_TIMEOUT(session, thousands_of_files, 300)
{
	int i, fd;

	/* The session alone holds them. Tokens come in no order. */
	for (i = 0; i < MANY; i++) {
		fd = luo_memfd(i % 2 ? 4096 : 0);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, luo_preserve(self->session, fd, i * 2654435761u));
		close(fd);
	}
	EXPECT_EQ(MANY, luo_count_files(self->session));
	for (i = 0; i < MANY; i += 3)
		ASSERT_EQ(0, luo_unpreserve(self->session, i * 2654435761u));
	EXPECT_EQ(MANY - (MANY + 2) / 3, luo_count_files(self->session));
	EXPECT_EQ(MANY - (MANY + 2) / 3, luo_read_number(LUO_SYSFS "outgoing_files"));
	close(self->session);
	EXPECT_EQ(0, luo_read_number(LUO_SYSFS "outgoing_files"));
}

/* ---- a reboot that is called off ---- */

FIXTURE(reboot)
{
	int dev;
	int session;
};

FIXTURE_SETUP(reboot)
{
	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
	/* Without a session the reboot would take place. */
	self->session = luo_create(self->dev, "reboot");
	ASSERT_LE(0, self->session);
	ASSERT_EQ(0, luo_preserve(self->session, luo_filled_memfd(65536, 9), 1));
	ASSERT_EQ(0, luo_load_old_style());
}

FIXTURE_TEARDOWN(reboot)
{
	luo_unload();
}

TEST_F(reboot, into_an_image_that_cant_receive_is_EOPNOTSUPP)
{
	EXPECT_EQ(-EOPNOTSUPP, luo_reboot());
	EXPECT_EQ(-EOPNOTSUPP, luo_reboot());
}

TEST_F(reboot, without_an_image_is_EINVAL)
{
	ASSERT_EQ(0, luo_unload());
	EXPECT_EQ(-EINVAL, luo_reboot());
}

TEST_F(reboot, called_off_leaves_everything_usable)
{
	char state[16];
	int fd = luo_memfd(4096), session;

	ASSERT_EQ(-EOPNOTSUPP, luo_reboot());
	ASSERT_EQ(0, luo_read_line(LUO_SYSFS "state", state, sizeof(state)));
	EXPECT_STRNE("frozen", state);
	EXPECT_EQ(1, luo_count_files(self->session));
	EXPECT_EQ(0, luo_preserve(self->session, fd, 2));
	EXPECT_EQ(0, luo_unpreserve(self->session, 1));
	session = luo_create(self->dev, "after");
	EXPECT_LE(0, session);
	EXPECT_EQ(0, luo_unpreserve(self->session, 2));
	EXPECT_EQ(0, luo_preserve(session, fd, 2));
}

TEST_HARNESS_MAIN
