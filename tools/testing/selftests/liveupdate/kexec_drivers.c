// SPDX-License-Identifier: GPL-2.0
/*
 * What drivers find that ask before there is a userspace, and the example of the
 * documentation. Needs the modules luo_test_handlers and, beside it, luo_example.
 */

#include <sys/ioctl.h>

#include "kexec_scenarios.h"

/* ---- built-in code ---- */

/* Where the kernel has KUnit tests and luo_early.session names the scenario. */
#define EARLY		"/sys/kernel/debug/liveupdate_early"
#define EARLY_VALUE	24301

static void check_answers(const char *wanted)
{
	char text[512];
	size_t len;
	FILE *f = fopen(EARLY, "re");

	if (!f) {
		printf("    # " EARLY ": not there, built-in code is not tested\n");
		return;
	}
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = 0;
	fclose(f);
	if (strcmp(text, wanted))
		printf("    # answers:\n%s    # wanted:\n%s", text, wanted);
	CHECK(!strcmp(text, wanted));
}

static void save_for_built_in_code(const struct scenario *s)
{
	int session = outgoing(s), fd = luo_memfd(8192), file;
	__u64 value = EARLY_VALUE;

	check_answers("early -517 0 0 -517 0 -517\n"
		      "postcore -517 0 0 -517 0 -517\n"
		      "arch -2 0 0 -2 0 -2\n"
		      "device -2 0 0 -2 0 -2\n");
	CHECK_FD(session);
	CHECK_OK(load_module());
	CHECK_EQ(8, pwrite(fd, &value, 8, 0));
	CHECK_OK(luo_preserve(session, fd, 1));
	file = open_test_file("luo-test-v2", 2);
	CHECK_FD(file);
	CHECK_OK(luo_preserve(session, file, 2));
}

static void check_built_in_code(const struct scenario *s)
{
	int session = incoming(s), fd;
	__u64 value;

	check_answers("early -517 0 0 -517 0 -517\n"
		      "postcore -517 0 0 -517 0 -517\n"
		      "arch 0 0 24301 -11 6450278 -2\n"
		      "device 0 0 24301 -11 6450278 -2\n");
	CHECK_FD(session);
	CHECK_OK(load_module());
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_EQ(8, pread(fd, &value, 8, 0));
	CHECK_EQ(EARLY_VALUE, value);
	CHECK_OK(luo_finish(session));
}

/* ---- the example ---- */

#define TALLY_MIRROR	_IO('T', 0x80)
#define EXAMPLE		"luo_example.ko"

struct tally {
	__u64 value;
	__u64 writes;
};

static int tally_open(__u64 value)
{
	int fd = open("/dev/tally", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return !value || write(fd, &value, 8) == 8 ? fd : -errno;
}

static void tally_check(int fd, __u64 value, __u64 writes)
{
	struct tally tally;

	CHECK_FD(fd);
	CHECK_EQ(sizeof(tally), read(fd, &tally, sizeof(tally)));
	CHECK_EQ(value, tally.value);
	CHECK_EQ(writes, tally.writes);
}

static void mirror_check(int fd, __u64 value)
{
	__u64 seen;

	CHECK_FD(fd);
	CHECK_EQ(8, pread(fd, &seen, 8, 0));
	CHECK_EQ(value, seen);
}

static void save_tallies(const struct scenario *s)
{
	int session = outgoing(s), orphan = luo_create(dev, "tally nobody asks for");
	int mirror = luo_memfd(8192), tally;
	__u64 value = 11;

	CHECK_FD(session);
	CHECK_FD(orphan);
	CHECK_OK(load_module_named(EXAMPLE));
	tally = tally_open(0);
	CHECK_FD(tally);
	CHECK_OK(ioctl(tally, TALLY_MIRROR, mirror));

	/* What it depends on comes first and stays as long. */
	CHECK_EQ(-EINVAL, luo_preserve(session, tally, 1));
	CHECK_OK(luo_preserve(session, mirror, 2));
	CHECK_OK(luo_preserve(session, tally, 1));
	CHECK_EQ(-EBUSY, luo_unpreserve(session, 2));
	CHECK_OK(luo_preserve(orphan, tally_open(9), 3));

	CHECK_EQ(8, write(tally, &value, 8));
	mirror_check(mirror, 11);
	tally_check(tally, 11, 2);
}

static void use_tally(const struct scenario *s)
{
	int session = incoming(s), tally, mirror;
	__u64 value = 12;

	CHECK_FD(session);
	CHECK_OK(load_module_named(EXAMPLE));
	tally_check(tally_open(0), 0, 2);
	tally = luo_retrieve_fd(session, 1);
	tally_check(tally, 11, 2);
	mirror = luo_retrieve_fd(session, 2);
	mirror_check(mirror, 11);
	CHECK_EQ(8, write(tally, &value, 8));
	mirror_check(mirror, 12);
	/* All is carried over: one retrieved, the other not. */
}

static void check_tallies(const struct scenario *s)
{
	int session = incoming(s), orphan = luo_retrieve(dev, "tally nobody asks for");

	CHECK_FD(session);
	CHECK_FD(orphan);
	CHECK_OK(load_module_named(EXAMPLE));
	tally_check(tally_open(0), 0, 3);
	tally_check(luo_retrieve_fd(session, 1), 12, 3);
	mirror_check(luo_retrieve_fd(session, 2), 12);
	CHECK_OK(luo_finish(session));
	tally_check(luo_retrieve_fd(orphan, 3), 9, 3);
	CHECK_OK(luo_finish(orphan));
}

#define SCENARIO(_name, ...)							\
	{ .name = _name, .needs_module = true, .stage = { __VA_ARGS__ } }

const struct scenario driver_scenarios[] = {
	SCENARIO("early", save_for_built_in_code, check_built_in_code),
	SCENARIO("example of the documentation", save_tallies, use_tally, check_tallies),
	{ }
};
