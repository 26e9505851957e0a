// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/liveupdate: who may open it, what it tells, lists of sessions; and the
 * files of /sys/kernel/liveupdate.
 */

#include <grp.h>
#include <sys/wait.h>

#include "../kselftest_harness.h"
#include "luo_test.h"

#define NOBODY	65534

FIXTURE(device)
{
	int dev;
};

FIXTURE_SETUP(device)
{
	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
}

FIXTURE_TEARDOWN(device)
{
	luo_write(LUO_SYSFS "exclusive", "1");
}

/* ---- opening ---- */

TEST_F(device, second_opener_is_EBUSY)
{
	EXPECT_EQ(-EBUSY, luo_open());
	EXPECT_EQ(-EBUSY, luo_open());
}

TEST_F(device, can_be_opened_again_after_close)
{
	close(self->dev);
	EXPECT_LE(0, luo_open());
}

TEST_F(device, is_open_until_the_last_copy_is_closed)
{
	int copy = dup(self->dev);

	close(self->dev);
	EXPECT_EQ(-EBUSY, luo_open());
	close(copy);
	EXPECT_LE(0, luo_open());
}

TEST_F(device, is_not_held_open_by_sessions)
{
	ASSERT_LE(0, luo_create(self->dev, "holder"));
	close(self->dev);
	EXPECT_LE(0, luo_open());
}

TEST_F(device, is_closed_by_the_death_of_its_opener)
{
	int status;
	pid_t pid;

	close(self->dev);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (luo_open() >= 0)
			raise(SIGKILL);
		_exit(1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_LE(0, luo_open());
}

TEST_F(device, lets_several_in_if_told_so)
{
	int second;

	ASSERT_EQ(0, luo_write(LUO_SYSFS "exclusive", "0"));
	second = luo_open();
	ASSERT_LE(0, second);
	EXPECT_LE(0, luo_open());

	EXPECT_LE(0, luo_create(self->dev, "first"));
	EXPECT_LE(0, luo_create(second, "second"));
	EXPECT_EQ(-EEXIST, luo_create(second, "first"));

	/* Those who are in stay in; nobody else gets in before they leave. */
	ASSERT_EQ(0, luo_write(LUO_SYSFS "exclusive", "1"));
	EXPECT_EQ(-EBUSY, luo_open());
	close(self->dev);
	EXPECT_EQ(-EBUSY, luo_open());
}

TEST_F(device, is_for_root_alone)
{
	struct stat st;

	ASSERT_EQ(0, fstat(self->dev, &st));
	EXPECT_EQ(0600, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(0, st.st_gid);
	EXPECT_TRUE(S_ISCHR(st.st_mode));
}

/* Runs in a child that has lost every privilege. */
static int become_nobody(void)
{
	return setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY) ? -errno : 0;
}

TEST_F(device, cant_be_opened_by_others)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, luo_write(LUO_SYSFS "exclusive", "0"));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(become_nobody() ? 2 : luo_open() != -EACCES);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

static int use_as_nobody(int dev)
{
	int session;

	if (become_nobody())
		return 2;
	session = luo_create(dev, "nobody's");
	return session < 0 || luo_preserve(session, luo_memfd(4096), 1);
}

TEST_F(device, needs_no_privilege_but_the_fd)
{
	int status;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(use_as_nobody(self->dev));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* ---- GET_INFO and sysfs ---- */

TEST_F(device, info_names_features_and_formats)
{
	struct liveupdate_ioctl_get_info info;
	char abi[64], both[64];

	ASSERT_EQ(0, luo_info(self->dev, &info));
	EXPECT_EQ(LIVEUPDATE_FEATURE_LIST | LIVEUPDATE_FEATURE_UNPRESERVE_FD |
		  LIVEUPDATE_FEATURE_KEEP_ON_CLOSE | LIVEUPDATE_FEATURE_ABANDON |
		  LIVEUPDATE_FEATURE_CLAIM_SESSION,
		  info.features);
	EXPECT_STREQ("kho-v4", (char *)info.kho_format);
	EXPECT_STREQ("luo-v5", (char *)info.luo_format);

	snprintf(both, sizeof(both), "%s %s", info.kho_format, info.luo_format);
	ASSERT_EQ(0, luo_read_line(LUO_SYSFS "abi", abi, sizeof(abi)));
	EXPECT_STREQ(both, abi);
	EXPECT_EQ(info.number, luo_read_number(LUO_SYSFS "number"));
}

static void expect_counts(struct __test_metadata *_metadata, int dev, int sessions,
			  int files)
{
	struct liveupdate_ioctl_get_info info;

	ASSERT_EQ(0, luo_info(dev, &info));
	EXPECT_EQ(sessions, info.outgoing_sessions);
	EXPECT_EQ(files, info.outgoing_files);
	EXPECT_EQ(sessions, luo_read_number(LUO_SYSFS "outgoing_sessions"));
	EXPECT_EQ(files, luo_read_number(LUO_SYSFS "outgoing_files"));
}

TEST_F(device, counts_follow_sessions_and_files)
{
	int one, two, fd = luo_memfd(4096);

	expect_counts(_metadata, self->dev, 0, 0);
	one = luo_create(self->dev, "one");
	two = luo_create(self->dev, "two");
	expect_counts(_metadata, self->dev, 2, 0);
	ASSERT_EQ(0, luo_preserve(one, fd, 1));
	ASSERT_EQ(0, luo_preserve(two, luo_memfd(0), 1));
	expect_counts(_metadata, self->dev, 2, 2);
	EXPECT_EQ(-EBUSY, luo_preserve(two, fd, 2));
	expect_counts(_metadata, self->dev, 2, 2);
	ASSERT_EQ(0, luo_unpreserve(one, 1));
	expect_counts(_metadata, self->dev, 2, 1);
	close(two);
	expect_counts(_metadata, self->dev, 1, 0);
	close(one);
	expect_counts(_metadata, self->dev, 0, 0);
}

TEST_F(device, state_is_normal_before_an_update)
{
	char state[32];

	if (luo_read_number(LUO_SYSFS "number"))
		SKIP(return, "this kernel came by live update");
	ASSERT_EQ(0, luo_read_line(LUO_SYSFS "state", state, sizeof(state)));
	EXPECT_STREQ("normal", state);
}

/* An image can't be larger than the largest scratch area. */
TEST_F(device, image_room_is_part_of_scratch_memory)
{
	FILE *f = fopen("/sys/kernel/debug/kho/out/scratch_len", "re");
	long long room = luo_read_number(LUO_SYSFS "image_room");
	long long size, largest = 0;

	if (!f)
		SKIP(return, "debugfs is not mounted");
	while (fscanf(f, "%lli", &size) == 1)
		largest = size > largest ? size : largest;
	fclose(f);
	EXPECT_GT(room, largest / 2);
	EXPECT_LT(room, largest);
}

TEST_F(device, exclusive_takes_booleans_only)
{
	EXPECT_EQ(-EINVAL, luo_write(LUO_SYSFS "exclusive", "perhaps"));
	EXPECT_EQ(1, luo_read_number(LUO_SYSFS "exclusive"));
	EXPECT_EQ(0, luo_write(LUO_SYSFS "exclusive", "n"));
	EXPECT_EQ(0, luo_read_number(LUO_SYSFS "exclusive"));
}

TEST_F(device, debugfs_shows_sessions_and_files)
{
	char text[4096];
	int fd, session = luo_create(self->dev, "one\n\033[1m\\ line");
	ssize_t len;

	ASSERT_EQ(0, luo_preserve(session, luo_filled_memfd(8192, 1), 77));
	fd = open("/sys/kernel/debug/liveupdate/sessions", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "no debugfs");
	len = read(fd, text, sizeof(text) - 1);
	ASSERT_LT(0, len);
	text[len] = 0;
	EXPECT_NE(NULL, strstr(text, "session one\\012\\033[1m\\134\\040line outgoing files 1\n"));
	EXPECT_NE(NULL, strstr(text, "token 77 preserved memfd-v2 bytes 8192\n"));
}

/* ---- LIST_SESSIONS ---- */

TEST_F(device, list_is_empty_without_sessions)
{
	struct liveupdate_session_entry entry;
	__u64 cursor = 0;

	EXPECT_EQ(0, luo_list_sessions(self->dev, &cursor, &entry, 1));
}

TEST_F(device, list_tells_name_state_and_files)
{
	struct liveupdate_session_entry entry, zero = {};
	int session = luo_create(self->dev, "listed");

	ASSERT_EQ(0, luo_preserve(session, luo_memfd(0), 1));
	ASSERT_EQ(0, luo_preserve(session, luo_memfd(0), 2));
	memset(&entry, 0xff, sizeof(entry));
	ASSERT_EQ(0, luo_find_session(self->dev, "listed", &entry));
	EXPECT_EQ(2, entry.files);
	EXPECT_EQ(LIVEUPDATE_SESSION_STATE_OUTGOING, entry.state);
	EXPECT_EQ(0, entry.reserved);
	EXPECT_EQ(0, memcmp(entry.name + 7, zero.name, sizeof(entry.name) - 7));
}

/* Marks which of the sessions "0" to "9" an entry is. */
static void mark(struct liveupdate_session_entry *entries, int n, int seen[10])
{
	while (n-- > 0)
		seen[entries[n].name[0] - '0']++;
}

static void create_ten(struct __test_metadata *_metadata, int dev, int sessions[10])
{
	char name[2] = "0";
	int i;

	for (i = 0; i < 10; i++, name[0]++) {
		sessions[i] = luo_create(dev, name);
		ASSERT_LE(0, sessions[i]);
	}
}

TEST_F(device, list_visits_each_session_once_whatever_the_step)
{
	struct liveupdate_session_entry entries[16];
	int step, n, i, sessions[10];

	create_ten(_metadata, self->dev, sessions);
	for (step = 1; step <= 16; step++) {
		int seen[10] = {};
		__u64 cursor = 0;

		while ((n = luo_list_sessions(self->dev, &cursor, entries, step)) > 0)
			mark(entries, n, seen);
		EXPECT_EQ(0, n);
		for (i = 0; i < 10; i++)
			EXPECT_EQ(1, seen[i]);
	}
}

TEST_F(device, list_survives_changes_between_calls)
{
	struct liveupdate_session_entry entries[16];
	int i, sessions[10], seen[10] = {};
	__u64 cursor = 0;

	create_ten(_metadata, self->dev, sessions);
	ASSERT_EQ(4, luo_list_sessions(self->dev, &cursor, entries, 4));
	mark(entries, 4, seen);

	/* One that was listed goes, so does one that was not; one comes back. */
	close(sessions[3]);
	close(sessions[4]);
	close(sessions[7]);
	ASSERT_LE(0, luo_create(self->dev, "7"));

	ASSERT_EQ(5, luo_list_sessions(self->dev, &cursor, entries, 16));
	mark(entries, 5, seen);
	ASSERT_EQ(0, luo_list_sessions(self->dev, &cursor, entries, 16));
	for (i = 0; i < 10; i++)
		EXPECT_EQ(i == 4 ? 0 : 1, seen[i]);
}

/* ---- names ---- */

TEST_F(device, name_may_have_1_to_63_bytes)
{
	char name[LUO_NAME_MAX + 1] = {};
	int len;

	for (len = 1; len <= LUO_NAME_MAX; len++) {
		name[len - 1] = 'a' + len % 26;
		EXPECT_LE(0, luo_create(self->dev, name))
			TH_LOG("%d bytes", len);
	}
	EXPECT_EQ(-EEXIST, luo_create(self->dev, name));
}

TEST_F(device, empty_name_is_refused)
{
	EXPECT_EQ(-EINVAL, luo_create(self->dev, ""));
	EXPECT_EQ(-EINVAL, luo_retrieve(self->dev, ""));
}

TEST_F(device, name_without_nul_is_refused)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH + 1] = {};

	memset(name, 'x', LIVEUPDATE_SESSION_NAME_LENGTH);
	EXPECT_EQ(-EINVAL, luo_create(self->dev, name));
	EXPECT_EQ(-EINVAL, luo_retrieve(self->dev, name));
	name[LUO_NAME_MAX] = 0;
	EXPECT_LE(0, luo_create(self->dev, name));
}

TEST_F(device, name_ends_at_its_nul)
{
	struct liveupdate_ioctl_create_session create = { .size = sizeof(create) };
	char name[LIVEUPDATE_SESSION_NAME_LENGTH], zero[64] = {};

	memcpy(create.name, "short\0and more", 15);
	ASSERT_EQ(0, luo_call(self->dev, LIVEUPDATE_IOCTL_CREATE_SESSION, &create));
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "short"));
	ASSERT_EQ(0, luo_get_name(create.fd, name));
	EXPECT_STREQ("short", name);
	EXPECT_EQ(0, memcmp(name + 5, zero, sizeof(name) - 5));
}

TEST_F(device, name_is_taken_until_the_session_is_closed)
{
	int session = luo_create(self->dev, "taken");

	ASSERT_LE(0, session);
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "taken"));
	EXPECT_LE(0, luo_create(self->dev, "taken "));
	EXPECT_LE(0, luo_create(self->dev, "take"));
	close(session);
	EXPECT_LE(0, luo_create(self->dev, "taken"));
}

TEST_F(device, outgoing_session_cant_be_retrieved)
{
	ASSERT_LE(0, luo_create(self->dev, "outgoing"));
	EXPECT_EQ(-ENOENT, luo_retrieve(self->dev, "outgoing"));
}

TEST_HARNESS_MAIN
