// SPDX-License-Identifier: GPL-2.0
/*
 * Sessions on their way: how many, under which names, who claims them and who
 * does not, and updates that are refused.
 */

#include <signal.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "kexec_scenarios.h"
#include "luo_commands.h"

static int session_state(const char *name)
{
	struct liveupdate_session_entry entry;
	int err = luo_find_session(dev, name, &entry);

	return err ?: (int)entry.state;
}

/* ---- refused: the image can't receive ---- */

static void refuse_image(const struct scenario *s)
{
	int session = outgoing(s);

	CHECK_FD(session);
	CHECK_OK(preserve_filled(session, MIB, 1, 1));
	CHECK_OK(load_kernel("-c"));
	CHECK_EQ(-EOPNOTSUPP, jump());
	CHECK_EQ(-EOPNOTSUPP, jump());
	CHECK_OK(unload_kernel());
	CHECK_EQ(-EINVAL, jump());

	/* Nothing has changed, and the session goes with the next attempt. */
	CHECK_EQ(1, luo_count_files(session));
	CHECK_OK(preserve_filled(session, MIB, 2, 2));
}

static void check_refused_image(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	CHECK_OK(check_filled(session, MIB, 1, 1));
	CHECK_OK(check_filled(session, MIB, 2, 2));
	CHECK_OK(luo_finish(session));
}

/* ---- numbers and states ---- */

/* The number of the update before this one is in a file. */
static void save_number(const struct scenario *s)
{
	struct liveupdate_ioctl_get_info info;
	int session = outgoing(s), fd = luo_memfd(8);

	CHECK_FD(session);
	CHECK_OK(luo_info(dev, &info));
	CHECK_EQ(info.number, luo_read_number(LUO_SYSFS "number"));
	CHECK_EQ(8, pwrite(fd, &info.number, 8, 0));
	CHECK_OK(luo_preserve(session, fd, 1));
}

static void check_number(const struct scenario *s)
{
	struct liveupdate_ioctl_get_info info;
	int session = incoming(s);
	__u64 before;
	int fd;

	CHECK_FD(session);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_EQ(8, pread(fd, &before, 8, 0));
	CHECK_OK(luo_info(dev, &info));
	CHECK_EQ(before + 1, info.number);
	CHECK_OK(luo_finish(session));
	save_number(s);
}

/* What handover itself tells the next kernel: who started it, and how many were started. */
#define KEXEC_METADATA	"/kho/%s/sub_fdts/kexec-metadata"

struct kexec_metadata {
	__u32 version;
	char release[65];
	__u32 count;
} __attribute__((packed));

static int read_metadata(const char *direction, struct kexec_metadata *metadata)
{
	char path[80];
	int fd, err = 0;

	snprintf(path, sizeof(path), "/sys/kernel/debug" KEXEC_METADATA, direction);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (read(fd, metadata, sizeof(*metadata)) != sizeof(*metadata))
		err = -EIO;
	close(fd);
	return err;
}

static void check_metadata(const char *direction, __u32 count, const char *release)
{
	struct kexec_metadata metadata;

	CHECK_OK(read_metadata(direction, &metadata));
	CHECK_EQ(1, metadata.version);
	CHECK_EQ(count, metadata.count);
	CHECK_EQ(0, memcmp(release, metadata.release, strlen(release) + 1));
}

/* The release of the kernel before this one is in a file. */
static void count_kexecs(const struct scenario *s)
{
	struct kexec_metadata none;
	struct utsname self;
	int session, fd;

	CHECK_OK(uname(&self));
	if (stage == 1) {
		CHECK_EQ(-ENOENT, read_metadata("in", &none));
	} else {
		char before[sizeof(self.release)] = "";

		session = incoming(s);
		CHECK_FD(session);
		fd = luo_retrieve_fd(session, 1);
		CHECK_FD(fd);
		CHECK_EQ(sizeof(before), pread(fd, before, sizeof(before), 0));
		check_metadata("in", stage - 1, before);
		CHECK_OK(luo_finish(session));
	}
	check_metadata("out", stage, self.release);
	if (stage == STAGES)
		return;
	session = outgoing(s);
	CHECK_FD(session);
	fd = luo_memfd(sizeof(self.release));
	CHECK_EQ(sizeof(self.release), pwrite(fd, self.release, sizeof(self.release), 0));
	CHECK_OK(luo_preserve(session, fd, 1));
}

static void check_counts(const struct scenario *s)
{
	struct liveupdate_ioctl_get_info before, after;
	char state[32];
	int session;

	CHECK_OK(luo_read_line(LUO_SYSFS "state", state, sizeof(state)));
	CHECK_EQ(0, strcmp("updated", state));
	CHECK_OK(luo_info(dev, &before));
	CHECK_EQ(before.incoming_sessions, luo_read_number(LUO_SYSFS "incoming_sessions"));
	CHECK_EQ(before.incoming_files, luo_read_number(LUO_SYSFS "incoming_files"));

	session = incoming(s);
	CHECK_FD(session);
	CHECK_OK(luo_finish(session));
	CHECK_OK(luo_info(dev, &after));
	CHECK_EQ(before.incoming_sessions - 1, after.incoming_sessions);
	CHECK_EQ(before.incoming_files - 3, after.incoming_files);
	CHECK_EQ(before.outgoing_sessions, after.outgoing_sessions);
}

static void save_three_files(const struct scenario *s)
{
	int session = outgoing(s);
	int i;

	CHECK_FD(session);
	for (i = 0; i < 3; i++)
		CHECK_OK(preserve_filled(session, MIB, i, i));
}

static void check_blackout(const struct scenario *s)
{
	static const char *const phases[] = {
		"freeze_ns", "jump_ns", "setup_ns", "map_ns", "boot_ns", "luo_ns",
		"open_ns",
	};
	char path[80];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(phases); i++) {
		snprintf(path, sizeof(path), LUO_SYSFS "blackout/%s", phases[i]);
		CHECK_AT_LEAST(1, luo_read_number(path));
		/* Ten minutes would be a mistake in units. */
		CHECK_AT_LEAST(luo_read_number(path), 600ll * 1000000000);
	}
}

static void check_no_blackout(const struct scenario *s)
{
	if (luo_read_number(LUO_SYSFS "number"))
		return;
	CHECK_EQ(-ENODATA, luo_read_number(LUO_SYSFS "blackout/freeze_ns"));
}

/* ---- how many ---- */

static void save_nothing(const struct scenario *s)
{
	CHECK_FD(outgoing(s));
}

static void check_nothing(const struct scenario *s)
{
	int session;

	CHECK_EQ(LIVEUPDATE_SESSION_STATE_INCOMING, session_state(s->name));
	session = incoming(s);
	CHECK_FD(session);
	CHECK_EQ(LIVEUPDATE_SESSION_STATE_RETRIEVED, session_state(s->name));
	CHECK_EQ(0, luo_count_files(session));
	CHECK_EQ(-ENOENT, luo_retrieve_fd(session, 0));
	CHECK_OK(luo_finish(session));
	CHECK_EQ(-ENOENT, session_state(s->name));
	CHECK_EQ(-EINVAL, luo_finish(session));
	close(session);
}

static void check_gone(const struct scenario *s)
{
	CHECK_EQ(-ENOENT, incoming(s));
}

#define SESSIONS	1000
#define SESSION_FILES	1500

/* 63 bytes, of which the last ones differ. */
static void long_name(char name[LIVEUPDATE_SESSION_NAME_LENGTH], int i)
{
	memset(name, 'S', LUO_NAME_MAX);
	snprintf(name + LUO_NAME_MAX - 6, 7, "%06d", i);
}

static void save_many_sessions(const struct scenario *s)
{
	const struct rlimit limit = { 65536, 65536 };
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	int i, session;

	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	for (i = 0; i < SESSIONS; i++) {
		long_name(name, i);
		session = luo_create(dev, name);
		CHECK_FD(session);
		if (i % 8 == 0)
			CHECK_OK(preserve_filled(session, 5000, i, i));
	}
}

static void check_one_of_many(int i)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH], told[LIVEUPDATE_SESSION_NAME_LENGTH];
	char link[256];
	int session;

	long_name(name, i);
	session = luo_retrieve(dev, name);
	CHECK_FD(session);
	CHECK_OK(luo_get_name(session, told));
	CHECK_EQ(0, strcmp(name, told));
	CHECK_OK(luo_fd_link(session, link, sizeof(link)));
	CHECK_EQ(0, strcmp(name, link + strlen("anon_inode:[luo_session] ")));
	CHECK_EQ(i % 8 == 0, luo_count_files(session));
	if (i % 8 == 0)
		CHECK_OK(check_filled(session, 5000, i, i));
	CHECK_OK(luo_finish(session));
	close(session);
}

/* In another order: 7 and SESSIONS have no factor in common. */
static void check_many_sessions(const struct scenario *s)
{
	int i;

	for (i = 0; i < SESSIONS; i++)
		check_one_of_many(i * 7 % SESSIONS);
}

static __u64 file_token(int i)
{
	return i * 0x9e3779b97f4a7c15ull;
}

static void save_many_files(const struct scenario *s)
{
	int i, session = outgoing(s);

	CHECK_FD(session);
	for (i = 0; i < SESSION_FILES; i++)
		CHECK_OK(preserve_filled(session, 100 + i, i, file_token(i)));
	/* The last record takes the place of one that goes. */
	for (i = 0; i < SESSION_FILES; i += 10)
		CHECK_OK(luo_unpreserve(session, file_token(i)));
}

static void check_many_files(const struct scenario *s)
{
	int i, session = incoming(s);

	CHECK_FD(session);
	CHECK_EQ(SESSION_FILES - SESSION_FILES / 10, luo_count_files(session));
	for (i = SESSION_FILES - 1; i >= 0; i--) {
		if (i % 10)
			CHECK_OK(check_filled(session, 100 + i, i, file_token(i)));
		else
			CHECK_EQ(-ENOENT, luo_retrieve_fd(session, file_token(i)));
	}
	CHECK_OK(luo_finish(session));
	close(session);
}

/* ---- names and tokens ---- */

static const char *const names[] = {
	"n", "%s%n%p", "../../etc", "two words\nand lines", "\xff\xfe\x01\x7f",
};

static const __u64 tokens[] = { 0, 1, UINT32_MAX, INT64_MAX, UINT64_MAX };

static void save_names(const struct scenario *s)
{
	int i, session;

	for (i = 0; i < 5; i++) {
		session = luo_create(dev, names[i]);
		CHECK_FD(session);
		CHECK_OK(preserve_filled(session, 4096, i, tokens[i]));
	}
}

static void check_names(const struct scenario *s)
{
	int i, session;

	for (i = 0; i < 5; i++) {
		session = luo_retrieve(dev, names[i]);
		CHECK_FD(session);
		CHECK_OK(check_filled(session, 4096, i, tokens[i]));
		CHECK_OK(luo_finish(session));
	}
}

/* ---- claimed in part, twice, not at all ---- */

static void check_partial(const struct scenario *s)
{
	int session = incoming(s), fd;

	CHECK_FD(session);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_EQ(LIVEUPDATE_FILE_STATE_INCOMING, luo_file_state(session, 0));
	CHECK_EQ(LIVEUPDATE_FILE_STATE_RETRIEVED, luo_file_state(session, 1));
	CHECK_OK(luo_finish(session));
	CHECK_EQ(-EINVAL, luo_retrieve_fd(session, 0));
	CHECK_EQ(-EINVAL, luo_retrieve_fd(session, 1));
	close(session);
	/* The one retrieved does not depend on the session. */
	CHECK_OK(luo_verify(fd, 0, MIB, 1));
	CHECK_OK(ftruncate(fd, 2 * MIB));
}

static void check_twice(const struct scenario *s)
{
	int session = incoming(s), one, two;
	struct stat a, b;

	CHECK_FD(session);
	CHECK_EQ(-EINVAL, incoming(s));
	one = luo_retrieve_fd(session, 2);
	two = luo_retrieve_fd(session, 2);
	CHECK_FD(one);
	CHECK_FD(two);
	CHECK(one != two);
	CHECK_OK(fstat(one, &a));
	CHECK_OK(fstat(two, &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	/* The same file, not the same inode opened twice. */
	CHECK_EQ(99, lseek(one, 99, SEEK_SET));
	CHECK_EQ(99, lseek(two, 0, SEEK_CUR));
	close(one);
	one = luo_retrieve_fd(session, 2);
	CHECK_EQ(99, lseek(one, 0, SEEK_CUR));
	CHECK_OK(luo_finish(session));
}

static void check_closed(const struct scenario *s)
{
	int session = incoming(s), fd;

	CHECK_FD(session);
	fd = luo_retrieve_fd(session, 0);
	CHECK_FD(fd);
	close(session);
	CHECK_EQ(-ENOENT, incoming(s));
	CHECK_OK(luo_verify(fd, 0, MIB, 0));
}

static void check_unclaimed(const struct scenario *s)
{
	CHECK_EQ(LIVEUPDATE_SESSION_STATE_INCOMING, session_state(s->name));
}

static void check_three_files(const struct scenario *s)
{
	int i, session = incoming(s);

	CHECK_FD(session);
	for (i = 0; i < 3; i++)
		CHECK_OK(check_filled(session, MIB, i, i));
	CHECK_OK(luo_finish(session));
}

static void change_and_do_not_finish(const struct scenario *s)
{
	int session = incoming(s), fd;

	CHECK_FD(session);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_OK(luo_fill(fd, 0, MIB, 11));
}

/* Not the fds: the session alone holds what was retrieved from it. */
static void check_changed_file(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	CHECK_OK(check_filled(session, MIB, 0, 0));
	CHECK_OK(check_filled(session, MIB, 11, 1));
	CHECK_OK(check_filled(session, MIB, 2, 2));
	CHECK_OK(luo_finish(session));
}

/* The name is used again while the first bearer waits to be claimed. */
static void reuse_name(const struct scenario *s)
{
	int session = outgoing(s);

	CHECK_FD(session);
	CHECK_OK(preserve_filled(session, MIB, 30, 0));
}

static void check_both_names(const struct scenario *s)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	int i, session = incoming(s);

	CHECK_FD(session);
	CHECK_EQ(1, luo_count_files(session));
	CHECK_OK(check_filled(session, MIB, 30, 0));
	CHECK_OK(luo_finish(session));

	snprintf(name, sizeof(name), "%s~1", s->name);
	session = luo_retrieve(dev, name);
	CHECK_FD(session);
	for (i = 0; i < 3; i++)
		CHECK_OK(check_filled(session, MIB, i, i));
	CHECK_OK(luo_finish(session));
}

/* ---- KEEP_ON_CLOSE ---- */

/* An agent that gets half of its work done. */
static void be_killed(const struct scenario *s, __u32 flags)
{
	int session = incoming(s), fd;

	if (session < 0 || luo_set_flags(session, flags))
		_exit(1);
	fd = luo_retrieve_fd(session, 0);
	if (fd < 0 || luo_fill(fd, 0, MIB, 20))
		_exit(2);
	raise(SIGKILL);
}

static void kill_agent(const struct scenario *s, __u32 flags)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		be_killed(s, flags);
	CHECK_EQ(pid, waitpid(pid, &status, 0));
	CHECK_EQ(SIGKILL, status);
}

static void check_kept_after_kill(const struct scenario *s)
{
	int i, session;

	for (i = 0; i < 3; i++)
		kill_agent(s, LIVEUPDATE_SESSION_KEEP_ON_CLOSE);
	CHECK_EQ(LIVEUPDATE_SESSION_STATE_INCOMING, session_state(s->name));
	session = incoming(s);
	CHECK_FD(session);
	CHECK_OK(check_filled(session, MIB, 20, 0));
	CHECK_OK(check_filled(session, MIB, 1, 1));
	CHECK_EQ(-EOPNOTSUPP, luo_set_flags(session, 2));
	CHECK_EQ(-EOPNOTSUPP, luo_set_flags(session, UINT32_MAX));

	/* The flag did not outlive its agent: this close finishes. */
	close(session);
	CHECK_EQ(-ENOENT, incoming(s));
}

static void check_gone_after_kill(const struct scenario *s)
{
	kill_agent(s, 0);
	CHECK_EQ(-ENOENT, incoming(s));
}

static void check_flag_taken_back(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	CHECK_OK(luo_set_flags(session, LIVEUPDATE_SESSION_KEEP_ON_CLOSE));
	close(session);
	session = incoming(s);
	CHECK_FD(session);
	CHECK_OK(luo_set_flags(session, LIVEUPDATE_SESSION_KEEP_ON_CLOSE));
	CHECK_OK(luo_set_flags(session, 0));
	close(session);
	CHECK_EQ(-ENOENT, incoming(s));
}

static void kill_agent_and_go_on(const struct scenario *s)
{
	kill_agent(s, LIVEUPDATE_SESSION_KEEP_ON_CLOSE);
}

static void check_kept_across_update(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	CHECK_OK(check_filled(session, MIB, 20, 0));
	CHECK_OK(check_filled(session, MIB, 1, 1));
	CHECK_OK(check_filled(session, MIB, 2, 2));
	CHECK_OK(luo_finish(session));
}

/* ---- arguments ---- */

static void check_lengths(const struct scenario *s)
{
	const struct luo_command *command;
	int session = incoming(s);

	CHECK_FD(session);
	for (command = luo_session_commands; command->name; command++) {
		const char *wrong = luo_length_wrong(session, LUO_INCOMING_SESSION, command);

		if (wrong)
			printf("    # %s\n", wrong);
		CHECK(!wrong);
	}
	CHECK_OK(luo_finish(session));
}

/* Where only its first @len bytes are in memory that can be written. */
static void *read_only_copy(const void *arg, size_t len)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(page, arg, len);
	mprotect(page, 4096, PROT_READ);
	return page;
}

/* What can't be told, or has no fd, does not happen. */
static void check_no_effect(const struct scenario *s)
{
	struct liveupdate_ioctl_retrieve_session name = { .size = sizeof(name) };
	struct liveupdate_session_retrieve_fd token = { .size = sizeof(token) };
	struct rlimit limit, none;
	int session;

	luo_set_name(name.name, s->name);
	CHECK_EQ(-EFAULT, luo_call(dev, LIVEUPDATE_IOCTL_RETRIEVE_SESSION,
				   read_only_copy(&name, sizeof(name))));
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	none = (struct rlimit) { 3, limit.rlim_max };
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &none));
	CHECK_EQ(-EMFILE, incoming(s));
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_EQ(LIVEUPDATE_SESSION_STATE_INCOMING, session_state(s->name));

	session = incoming(s);
	CHECK_FD(session);
	CHECK_EQ(-EFAULT, luo_call(session, LIVEUPDATE_SESSION_RETRIEVE_FD,
				   read_only_copy(&token, sizeof(token))));
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &none));
	CHECK_EQ(-EMFILE, luo_retrieve_fd(session, 0));
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_EQ(LIVEUPDATE_FILE_STATE_INCOMING, luo_file_state(session, 0));
	CHECK_OK(check_filled(session, MIB, 0, 0));
	CHECK_OK(luo_finish(session));
}

static void check_wrong_kind(const struct scenario *s)
{
	int session = incoming(s), fd = luo_memfd(4096);

	CHECK_FD(session);
	CHECK_EQ(-EINVAL, luo_preserve(session, fd, 77));
	CHECK_EQ(-EINVAL, luo_unpreserve(session, 0));
	CHECK_EQ(3, luo_count_files(session));
	CHECK_OK(luo_finish(session));
	CHECK_EQ(-EINVAL, luo_preserve(session, fd, 77));
	CHECK_EQ(-EINVAL, luo_set_flags(session, 0));
	CHECK_EQ(-EINVAL, luo_count_files(session));
}

/* ---- refused: one file would be handed over twice ---- */

static void refuse_second_owner(const struct scenario *s)
{
	int session = incoming(s), other = luo_create(dev, "second owner");
	int fd;

	CHECK_FD(session);
	CHECK_FD(other);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_OK(luo_preserve(other, fd, 1));
	CHECK_OK(load_kernel(""));
	CHECK_EQ(-EBUSY, jump());

	/* Finished, it belongs to the other session alone. */
	CHECK_OK(luo_finish(session));
	close(session);
}

static void check_second_owner(const struct scenario *s)
{
	int session = luo_retrieve(dev, "second owner");

	CHECK_EQ(-ENOENT, incoming(s));
	CHECK_FD(session);
	CHECK_OK(check_filled(session, MIB, 1, 1));
	CHECK_OK(luo_finish(session));
}

const struct scenario session_scenarios[] = {
	{ .name = "refused: image that can't receive",
	  .stage = { refuse_image, check_refused_image, check_gone } },
	{ .name = "blackout", .stage = { check_no_blackout, check_blackout, check_blackout } },
	{ .name = "counts and state", .stage = { save_three_files, check_counts, check_gone } },
	{ .name = "number", .stage = { save_number, check_number, check_number } },
	{ .name = "kexecs are counted", .mainline = true,
	  .stage = { count_kexecs, count_kexecs, count_kexecs } },
	{ .name = "empty session", .stage = { save_nothing, check_nothing, check_gone } },
	{ .name = "many sessions", .stage = { save_many_sessions, check_many_sessions } },
	{ .name = "many files", .stage = { save_many_files, check_many_files } },
	{ .name = "names and tokens", .stage = { save_names, check_names }, .mainline = true },
	{ .name = "retrieved in part, then finished",
	  .stage = { save_three_files, check_partial, check_gone } },
	{ .name = "retrieved twice", .stage = { save_three_files, check_twice } },
	{ .name = "closed without being finished",
	  .stage = { save_three_files, check_closed, check_gone }, .mainline = true },
	{ .name = "unclaimed for one update",
	  .stage = { save_three_files, check_unclaimed, check_three_files } },
	{ .name = "retrieved, not finished",
	  .stage = { save_three_files, change_and_do_not_finish, check_changed_file } },
	{ .name = "name used again",
	  .stage = { save_three_files, reuse_name, check_both_names } },
	{ .name = "kept after its agent was killed",
	  .stage = { save_three_files, check_kept_after_kill, check_gone } },
	{ .name = "agent killed without the flag",
	  .stage = { save_three_files, check_gone_after_kill, check_gone } },
	{ .name = "agent killed before the next update",
	  .stage = { save_three_files, kill_agent_and_go_on, check_kept_across_update } },
	{ .name = "flag taken back", .stage = { save_three_files, check_flag_taken_back } },
	{ .name = "lengths of arguments", .stage = { save_three_files, check_lengths } },
	{ .name = "no effect without result", .stage = { save_three_files, check_no_effect } },
	{ .name = "commands of outgoing sessions",
	  .stage = { save_three_files, check_wrong_kind } },
	{ .name = "refused: file with two owners",
	  .stage = { save_three_files, refuse_second_owner, check_second_owner } },
	{ }
};
