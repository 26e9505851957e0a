// SPDX-License-Identifier: GPL-2.0
/*
 * What handlers are asked, in which order, and what becomes of it if they
 * refuse or are not there. Needs the module luo_test_handlers, whose files are
 * a page and whose log tells each callback with the first word of the page.
 */

#include <limits.h>
#include <sys/syscall.h>

#include "kexec_scenarios.h"

#define FLB_VALUE	0x626c66

static int load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
		err = -errno;
	close(fd);
	return err;
}

int load_module(void)
{
	return load(module_path);
}

int load_module_named(const char *name)
{
	const char *slash = strrchr(module_path, '/');
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.*s%s",
		 slash ? (int)(slash + 1 - module_path) : 0, module_path, name);
	return load(path);
}

static int unload_module(void)
{
	return syscall(SYS_delete_module, "luo_test_handlers", O_NONBLOCK) ? -errno : 0;
}

static int module_loaded(void)
{
	return !access(TEST_CONTROL "log", R_OK);
}

/* A file of one of the handlers, with a value. */
int open_test_file(const char *handler, __u64 value)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", handler);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return pwrite(fd, &value, 8, 0) == 8 ? fd : -errno;
}

static int preserve_value(int session, const char *handler, __u64 value)
{
	int fd = open_test_file(handler, value);

	return fd < 0 ? fd : luo_preserve(session, fd, value);
}

static long long retrieve_value(int session, __u64 token)
{
	int fd = luo_retrieve_fd(session, token);
	long long value;

	if (fd < 0)
		return fd;
	if (pread(fd, &value, 8, 0) != 8)
		value = -errno;
	close(fd);
	return value;
}

/* ---- the log ---- */

static void clear_log(void)
{
	CHECK_OK(luo_write(TEST_CONTROL "log", "0"));
}

static void fail_next(const char *rule)
{
	CHECK_OK(luo_write(TEST_CONTROL "fail", rule));
}

/* Lines of the log that start with @start, as one text. */
static void read_log(const char *start, char *text, size_t size)
{
	FILE *f = fopen(TEST_CONTROL "log", "re");
	char line[128];
	size_t len = 0;

	CHECK(f);
	text[0] = 0;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, start, strlen(start)))
			len += snprintf(text + len, size - len, "%s", line);
		CHECK_AT_LEAST(len + 1, size);
	}
	fclose(f);
}

static void check_log(const char *start, const char *wanted)
{
	char text[4096];

	read_log(start, text, sizeof(text));
	if (strcmp(text, wanted))
		printf("    # log:\n%s    # wanted:\n%s", text, wanted);
	CHECK(!strcmp(text, wanted));
}

/* ---- handler missing ---- */

static void save_for_missing(const struct scenario *s)
{
	int session = outgoing(s);

	CHECK_OK(load_module());
	CHECK_FD(session);
	CHECK_OK(preserve_value(session, "luo-test-v1", 100));
	CHECK_OK(luo_preserve(session, luo_filled_memfd(8192, 1), 1));
	/* What has files can't go. */
	CHECK_EQ(-EAGAIN, unload_module());
}

static void check_without_module(int session)
{
	int fd;

	CHECK_EQ(0, module_loaded());
	CHECK_EQ(-ENODEV, luo_retrieve_fd(session, 100));
	CHECK_EQ(-ENODEV, luo_retrieve_fd(session, 100));
	CHECK_EQ(LIVEUPDATE_FILE_STATE_NO_HANDLER, luo_file_state(session, 100));
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_OK(luo_verify(fd, 0, 8192, 1));
	close(fd);
	CHECK_EQ(-ENODEV, luo_finish(session));
	CHECK_EQ(2, luo_count_files(session));
}

/* A name that would be a line of its own, and colour what comes after it. */
#define ODD_NAME	"odd\nname \033[31m"
#define ODD_NAME_LOGGED	"session odd\\nname \\e[31m: token 101 can't be finished"

static void save_for_abandoning(const struct scenario *s)
{
	int session = luo_create(dev, ODD_NAME);

	CHECK_OK(load_module());
	CHECK_FD(session);
	CHECK_OK(preserve_value(session, "luo-test-v1", 101));
	CHECK_OK(luo_preserve(session, luo_filled_memfd(8192, 2), 1));
}

/* Nobody comes for one of the files; the other one is freed. */
static void abandon_session(const struct scenario *s)
{
	int session = luo_retrieve(dev, ODD_NAME);

	CHECK_EQ(0, module_loaded());
	CHECK_FD(session);
	CHECK_EQ(-ENODEV, luo_finish(session));
	CHECK(is_logged(ODD_NAME_LOGGED));
	CHECK(!is_logged("\033[31m"));
	CHECK_EQ(1, luo_abandon(session));
	CHECK_EQ(-EINVAL, luo_abandon(session));
	close(session);
	CHECK_EQ(-ENOENT, luo_retrieve(dev, ODD_NAME));
}

static void check_missing(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	check_without_module(session);
	/* It can't be finished at close either, so it stays. */
	close(session);
	session = incoming(s);
	CHECK_FD(session);
	check_without_module(session);

	CHECK_OK(load_module());
	CHECK_EQ(100, retrieve_value(session, 100));
	CHECK_OK(luo_finish(session));
}

/* ---- freeze refused ---- */

#define FROZEN_FILES	5

/* In the order of preservation; the first ones are of the scenarios above. */
static const __u64 frozen_values[] = { 101, 100, 1, 2, 3, 4, 5 };

static void expect_freeze(char *text, size_t size, int k)
{
	size_t len = 0;
	int i;

	for (i = 0; i < k; i++)
		len += snprintf(text + len, size - len, "luo-test-v1 freeze %llu %d\n",
				frozen_values[i], i == k - 1 ? -EIO : 0);
	for (i = k - 2; i >= 0; i--)
		len += snprintf(text + len, size - len, "luo-test-v1 unfreeze %llu 0\n",
				frozen_values[i]);
}

static void refuse_freeze(const struct scenario *s)
{
	int session = outgoing(s), fd = luo_memfd(MIB), k;
	char rule[64], wanted[1024], state[16];

	CHECK_FD(session);
	CHECK_OK(luo_preserve(session, fd, 99));
	for (k = 1; k <= FROZEN_FILES; k++)
		CHECK_OK(preserve_value(session, "luo-test-v1", k));
	CHECK_OK(load_kernel(""));

	for (k = 1; k <= (int)ARRAY_SIZE(frozen_values); k++) {
		clear_log();
		snprintf(rule, sizeof(rule), "luo-test-v1 freeze %d %d", k, EIO);
		fail_next(rule);
		CHECK_EQ(-EIO, jump());
		expect_freeze(wanted, sizeof(wanted), k);
		check_log("luo-test-v1 ", wanted);

		/* Holes of frozen memfds can't be filled. */
		CHECK_OK(luo_fill(fd, k * 8192, 4096, k));
		CHECK_OK(luo_read_line(LUO_SYSFS "state", state, sizeof(state)));
		CHECK(strcmp(state, "frozen"));
	}
	CHECK_OK(preserve_value(session, "luo-test-v1", 6));
}

static void check_refused_freeze(const struct scenario *s)
{
	int session = incoming(s), fd, k;

	CHECK_FD(session);
	for (k = 1; k <= FROZEN_FILES + 1; k++)
		CHECK_EQ(k, retrieve_value(session, k));
	fd = luo_retrieve_fd(session, 99);
	for (k = 1; k <= (int)ARRAY_SIZE(frozen_values); k++)
		CHECK_OK(luo_verify(fd, k * 8192, 4096, k));
	CHECK_OK(luo_finish(session));
}

/* ---- preserve refused ---- */

static void refuse_preserve(const struct scenario *s)
{
	int session = outgoing(s), fd = open_test_file("luo-test-v1", 7);

	CHECK_FD(session);
	fail_next("luo-test-v1 preserve 1 5");
	CHECK_EQ(-EIO, luo_preserve(session, fd, 7));
	fail_next("luo-test-v1 preserve 1 12");
	CHECK_EQ(-ENOMEM, luo_preserve(session, fd, 7));
	CHECK_EQ(0, luo_count_files(session));
	CHECK_OK(luo_preserve(session, fd, 7));
}

/* Retrieved, it is carried over by being preserved again, which may fail. */
static void refuse_to_carry(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	CHECK_EQ(7, retrieve_value(session, 7));
	CHECK_OK(load_kernel(""));
	fail_next("luo-test-v1 preserve 1 5");
	CHECK_EQ(-EIO, jump());
	CHECK_EQ(LIVEUPDATE_FILE_STATE_RETRIEVED, luo_file_state(session, 7));
	CHECK_EQ(7, retrieve_value(session, 7));
}

static void check_carried(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_OK(load_module());
	CHECK_FD(session);
	CHECK_EQ(7, retrieve_value(session, 7));
	CHECK_OK(luo_finish(session));
}

/* ---- retrieve and finish refused ---- */

static void save_three_values(const struct scenario *s)
{
	int session = outgoing(s), i;

	CHECK_OK(load_module());
	CHECK_FD(session);
	for (i = 11; i <= 13; i++)
		CHECK_OK(preserve_value(session, "luo-test-v1", i));
}

static void refuse_retrieve(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_OK(load_module());
	CHECK_FD(session);
	fail_next("luo-test-v1 retrieve 1 12");
	CHECK_EQ(-ENOMEM, luo_retrieve_fd(session, 11));
	CHECK_EQ(LIVEUPDATE_FILE_STATE_INCOMING, luo_file_state(session, 11));
	CHECK_EQ(11, retrieve_value(session, 11));

	fail_next("luo-test-v1 retrieve 1 5");
	CHECK_EQ(-EIO, luo_retrieve_fd(session, 12));
	CHECK_EQ(-EIO, luo_retrieve_fd(session, 12));
	CHECK_EQ(LIVEUPDATE_FILE_STATE_DAMAGED, luo_file_state(session, 12));

	CHECK_EQ(13, retrieve_value(session, 13));
	clear_log();
	CHECK_OK(luo_finish(session));
	check_log("luo-test-v1 finish ",
		  "luo-test-v1 finish 13 0\n"
		  "luo-test-v1 finish 12 0\n"
		  "luo-test-v1 finish 11 0\n");
}

static void refuse_finish(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_OK(load_module());
	CHECK_FD(session);
	CHECK_EQ(11, retrieve_value(session, 11));
	clear_log();
	fail_next("luo-test-v1 can_finish 2 16");
	CHECK_EQ(-EBUSY, luo_finish(session));
	check_log("luo-test-v1 finish ", "");
	CHECK_EQ(12, retrieve_value(session, 12));

	/* Nor at close: the session is given back. */
	fail_next("luo-test-v1 can_finish 3 16");
	close(session);
	session = incoming(s);
	CHECK_FD(session);
	CHECK_EQ(3, luo_count_files(session));
	CHECK_OK(luo_finish(session));
}

/* ---- settle ---- */

static long long settled(int fd)
{
	long long count;

	return pread(fd, &count, 8, 8) == 8 ? count : -errno;
}

/* The other CPUs are stopped then, and one could be in the middle of a change. */
static long long tree_was_held(int fd)
{
	long long held;

	return pread(fd, &held, 8, 16) == 8 ? held : -errno;
}

/* Not before the jump is sure. */
static void call_off(const struct scenario *s)
{
	int session = outgoing(s), fd;

	CHECK_OK(load_module());
	CHECK_FD(session);
	fd = open_test_file("luo-test-v1", 31);
	CHECK_OK(luo_preserve(session, fd, 31));
	CHECK_OK(preserve_value(session, "luo-test-v1", 32));
	CHECK_OK(load_kernel(""));
	fail_next("luo-test-v1 freeze 2 5");
	CHECK_EQ(-EIO, jump());
	CHECK_EQ(0, settled(fd));
}

static void check_settled(const struct scenario *s)
{
	int session = incoming(s), fd;

	CHECK_OK(load_module());
	CHECK_FD(session);
	fd = luo_retrieve_fd(session, 31);
	CHECK_EQ(1, settled(fd));
	CHECK_EQ(1, tree_was_held(fd));
	close(fd);
	fd = luo_retrieve_fd(session, 32);
	CHECK_EQ(1, settled(fd));
	close(fd);
	CHECK_OK(luo_finish(session));
}

/* ---- charged ---- */

/* Of records of 256 folios each. */
#define LATE_PAGES	64
#define LATE_SIZE	(LATE_PAGES * 256 * 4096)

/* Freeze records what has filled holes, before the one fails that is newest. */
static void fail_behind_memfd(const struct scenario *s)
{
	int session = luo_create(dev, "late"), fd = luo_memfd(LATE_SIZE);
	char group[64], procs[96];
	long long before;

	CHECK_FD(session);
	CHECK_OK(enter_cgroup(group));
	CHECK_OK(luo_preserve(session, fd, 1));
	CHECK_OK(preserve_value(session, "luo-test-v2", 2));
	CHECK_OK(luo_fill(fd, 0, LATE_SIZE, 1));
	before = kernel_pages_of(group);
	CHECK_AT_LEAST(0, before);

	snprintf(procs, sizeof(procs), "%s/../cgroup.procs", group);
	CHECK_OK(luo_write(procs, "0"));
	CHECK_OK(load_kernel(""));
	fail_next("luo-test-v2 freeze 1 5");
	CHECK_EQ(-EIO, jump());
	/* The kernel sums up every two seconds. */
	sleep(3);
	CHECK_AT_LEAST(before + LATE_PAGES / 2, kernel_pages_of(group));
}

static void check_late_records(const struct scenario *s)
{
	CHECK_OK(load_module());
	run_apart(fail_behind_memfd, s);
}

/* ---- FLB ---- */

static void save_flb(const struct scenario *s)
{
	int one = outgoing(s), two = luo_create(dev, "two");

	CHECK_OK(load_module());
	CHECK_FD(one);
	CHECK_FD(two);
	clear_log();
	fail_next("luo-test-v2 preserve 1 5");
	CHECK_EQ(-EIO, preserve_value(one, "luo-test-v2", 21));
	CHECK_OK(preserve_value(one, "luo-test-v2", 21));
	CHECK_OK(preserve_value(one, "luo-test-v2", 22));
	CHECK_OK(preserve_value(two, "luo-test-v3", 23));
	CHECK_OK(luo_unpreserve(one, 21));
	CHECK_OK(luo_unpreserve(one, 22));
	CHECK_OK(luo_unpreserve(two, 23));
	CHECK_OK(preserve_value(one, "luo-test-v2", 21));
	CHECK_OK(preserve_value(one, "luo-test-v3", 22));
	CHECK_OK(preserve_value(two, "luo-test-v3", 23));
	check_log("luo-test-flb ",
		  "luo-test-flb preserve 6450278 0\n"
		  "luo-test-flb unpreserve 6450278 0\n"
		  "luo-test-flb preserve 6450278 0\n"
		  "luo-test-flb unpreserve 6450278 0\n"
		  "luo-test-flb preserve 6450278 0\n");
}

static void check_flb(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_OK(load_module());
	CHECK_FD(session);
	clear_log();
	CHECK_EQ(FLB_VALUE, luo_read_number(TEST_CONTROL "flb"));
	CHECK_EQ(FLB_VALUE, luo_read_number(TEST_CONTROL "flb"));
	CHECK_EQ(21, retrieve_value(session, 21));
	CHECK_OK(luo_finish(session));
	/* The file of the other session needs it, and so it is handed over. */
	CHECK_EQ(FLB_VALUE, luo_read_number(TEST_CONTROL "flb"));
	check_log("luo-test-flb ", "luo-test-flb retrieve 6450278 0\n");

	/* Together with what is new, and as it was if the jump is called off. */
	session = luo_create(dev, "three");
	CHECK_FD(session);
	CHECK_OK(preserve_value(session, "luo-test-v3", 24));
	CHECK_OK(load_kernel(""));
	clear_log();
	fail_next("luo-test-v3 freeze 1 5");
	CHECK_EQ(-EIO, jump());
	check_log("luo-test-flb ",
		  "luo-test-flb carry 6450278 0\n"
		  "luo-test-flb uncarry 6450278 0\n");
}

static void finish_flb(const struct scenario *s)
{
	int session = luo_retrieve(dev, "two");
	int three = luo_retrieve(dev, "three");

	CHECK_OK(load_module());
	CHECK_FD(session);
	CHECK_FD(three);
	clear_log();
	CHECK_EQ(23, retrieve_value(session, 23));
	CHECK_EQ(2 * FLB_VALUE, luo_read_number(TEST_CONTROL "flb"));
	CHECK_OK(luo_finish(session));
	CHECK_EQ(24, retrieve_value(three, 24));
	CHECK_OK(luo_finish(three));
	check_log("luo-test-flb ",
		  "luo-test-flb retrieve 6450278 0\n"
		  "luo-test-flb finish 6450278 0\n");
	CHECK_EQ(-ENODATA, luo_read_number(TEST_CONTROL "flb"));
}

/* ---- the module goes ---- */

static void unload_at_the_end(const struct scenario *s)
{
	CHECK_OK(load_module());
	CHECK_OK(unload_module());
	CHECK_EQ(0, module_loaded());
}

#define SCENARIO(_name, ...)							\
	{ .name = _name, .needs_module = true, .stage = { __VA_ARGS__ } }

const struct scenario handler_scenarios[] = {
	/* First: the next ones load the module. */
	SCENARIO("handler missing, abandoned", save_for_abandoning, abandon_session),
	SCENARIO("handler missing, then loaded", save_for_missing, check_missing),
	SCENARIO("refused: freeze of each file in turn",
		 refuse_freeze, check_refused_freeze),
	SCENARIO("refused: preserve", refuse_preserve, refuse_to_carry, check_carried),
	SCENARIO("refused: retrieve", save_three_values, refuse_retrieve),
	SCENARIO("refused: finish", save_three_values, refuse_finish),
	SCENARIO("settled right before the jump", call_off, check_settled),
	SCENARIO("reboot charges those who preserved", check_late_records),
	SCENARIO("flb shared by files of two handlers", save_flb, check_flb, finish_flb),
	SCENARIO("module unloaded after its files", NULL, NULL, unload_at_the_end),
	{ }
};
