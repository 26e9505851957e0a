// SPDX-License-Identifier: GPL-2.0
/* What drivers find that ask before there is a userspace. */

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

#define SCENARIO(_name, ...)							\
	{ .name = _name, .needs_module = true, .stage = { __VA_ARGS__ } }

const struct scenario driver_scenarios[] = {
	SCENARIO("early", save_for_built_in_code, check_built_in_code),
	{ }
};
