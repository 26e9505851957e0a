// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and every call of KHO on the way of retrieve and of freeze
 * fails once in turn. Whenever the call failed, all is as it was before. See
 * luo_faults.c for what takes one kernel.
 */

#include "kexec_scenarios.h"
#include "luo_inject.h"
#include "luo_state.h"

#define TURNS_MAX	2000
#define LARGE_FILE	(300 * 4096ll)

static struct luo_state before, after;

/* Returns what start() said: a kernel that can't let anything fail is no failure. */
static int start(const struct luo_injector *in)
{
	int err = in->start();

	if (err)
		printf("    # no failing %s: %s\n", in->name, strerror(-err));
	return err;
}

/* 1 if something failed since the nth was to fail. */
static int disarm(const struct luo_injector *in)
{
	int injected = in->disarm();

	CHECK_AT_LEAST(0, injected);
	return injected;
}

static void compare(const struct luo_injector *in, unsigned int n)
{
	const char *differs = luo_state_differs(&before, &after);

	if (differs)
		printf("    # %s %u: %s\n", in->name, n, differs);
	CHECK(!differs);
}

static void check_unchanged(const struct luo_injector *in, unsigned int n)
{
	CHECK_OK(luo_state_get(dev, &after));
	compare(in, n);
}

/* ---- retrieve ---- */

enum kind {
	SMALL,
	LARGE,
	EMPTY,
	SEALED,
	KINDS,
};

/*
 * What fails is not always needed, and what was retrieved is so for good: then
 * the next copy goes on.
 */
#define COPIES		40
#define SEALS		(F_SEAL_WRITE | F_SEAL_SEAL)

static int make_kind(enum kind kind)
{
	switch (kind) {
	case SMALL:
		return luo_filled_memfd(20000, 1);
	case LARGE:
		return luo_filled_memfd(LARGE_FILE, 2);
	case SEALED:
		return luo_sealed_memfd(8192, SEALS);
	default:
		return luo_memfd(0);
	}
}

static void check_kind(enum kind kind, int fd)
{
	static const off_t sizes[KINDS] = { 20000, LARGE_FILE, 0, 8192 };

	CHECK_FD(fd);
	CHECK_EQ(sizes[kind], luo_size(fd));
	if (kind == SMALL || kind == LARGE)
		CHECK_OK(luo_verify(fd, 0, sizes[kind], kind == SMALL ? 1 : 2));
	if (kind == SEALED)
		CHECK_EQ(SEALS, fcntl(fd, F_GET_SEALS) & SEALS);
}

static int token_of(enum kind kind, int copy)
{
	return kind * COPIES + copy;
}

static void save_for_faults(const struct scenario *s)
{
	int session = outgoing(s), token, fd;

	CHECK_FD(session);
	for (token = 0; token < KINDS * COPIES; token++) {
		fd = make_kind(token / COPIES);
		CHECK_FD(fd);
		CHECK_OK(luo_preserve(session, fd, token));
		close(fd);
	}
}

/* Which files are shown grows while they are read, what is told of it stays. */
static void check_still_incoming(const struct luo_injector *in, unsigned int n,
				 const struct scenario *s)
{
	struct liveupdate_session_entry entry;

	memset(before.sessions, 0, sizeof(before.sessions));
	CHECK_OK(luo_find_session(dev, s->name, &entry));
	CHECK_EQ(LIVEUPDATE_SESSION_STATE_INCOMING, entry.state);
	CHECK_EQ(KINDS * COPIES, entry.files);
	CHECK_OK(luo_state_get(dev, &after));
	memset(after.sessions, 0, sizeof(after.sessions));
	compare(in, n);
}

/* A session goes back if it was retrieved in spite of a failure. */
static int sweep_session(const struct luo_injector *in, const struct scenario *s)
{
	unsigned int n;
	int session;

	for (n = 1; n < TURNS_MAX; n++) {
		CHECK_OK(luo_state_get(dev, &before));
		CHECK_OK(in->arm(n));
		session = incoming(s);
		if (!disarm(in))
			break;
		if (session >= 0) {
			CHECK_OK(luo_set_flags(session, LIVEUPDATE_SESSION_KEEP_ON_CLOSE));
			close(session);
		} else {
			CHECK_EQ(-ENOMEM, session);
		}
		check_still_incoming(in, n, s);
	}
	CHECK_FD(session);
	printf("    # session: %u turns\n", n - 1);
	return session;
}

static void sweep_files(const struct luo_injector *in, int session, enum kind kind)
{
	int fd, copy = 0, injected = 1;
	unsigned int n;

	for (n = 1; injected; n++) {
		int token = token_of(kind, copy);

		CHECK_AT_LEAST(copy + 1, COPIES);
		CHECK_EQ(LIVEUPDATE_FILE_STATE_INCOMING, luo_file_state(session, token));
		CHECK_OK(luo_state_get(dev, &before));
		CHECK_OK(in->arm(n));
		fd = luo_retrieve_fd(session, token);
		injected = disarm(in);
		if (fd < 0 && injected) {
			CHECK_EQ(-ENOMEM, fd);
			check_unchanged(in, n);
			continue;
		}
		check_kind(kind, fd);
		close(fd);
		copy++;
	}
	printf("    # file: %u turns, %d in spite of a failure\n", n - 2, copy - 1);
}

static void retrieve_with_faults(const struct scenario *s)
{
	const struct luo_injector *in = &luo_injectors[LUO_ALLOCATIONS];
	enum kind kind;
	int session;

	if (start(in))
		return;
	session = sweep_session(in, s);
	for (kind = 0; kind < KINDS; kind++)
		sweep_files(in, session, kind);
	/* Some retrieved, some not: with the first allocation failing. */
	CHECK_OK(in->arm(1));
	CHECK_OK(luo_finish(session));
	disarm(in);
	in->stop();
	CHECK_EQ(-ENOENT, luo_retrieve(dev, s->name));
}

/* ---- freeze ---- */

#define REFUSING_TOKEN	1
#define HOLES_TOKEN	2
#define HOLES_FILE	(64 * MIB)
/* More than a page of records has room for, and some. */
#define MANY_PAGES	300
#define SOME_PAGES	40

/*
 * A session whose first file has work for freeze, more each time, and whose
 * last refuses: so that the machine never jumps.
 */
static int refusing_session(const struct scenario *s, int fd)
{
	int session = outgoing(s);

	CHECK_FD(session);
	CHECK_OK(luo_preserve(session, fd, HOLES_TOKEN));
	CHECK_OK(luo_write(TEST_CONTROL "fail", "luo-test-v1 freeze 0 5"));
	CHECK_OK(luo_preserve(session, open_test_file("luo-test-v1", 1), REFUSING_TOKEN));
	return session;
}

/* Folios that freeze has recorded stay so: they will be preserved anyway. */
static void get_state(struct luo_state *state)
{
	char *from, *to;

	CHECK_OK(luo_state_get(dev, state));
	state->preserved = 0;
	for (from = to = state->sessions; *from; *to++ = *from++) {
		if (!strncmp(from, " bytes ", 7))
			from += 7 + strspn(from + 7, "0123456789");
	}
	memset(to, 0, from - to);
}

static void check_called_off(const struct luo_injector *in, unsigned int n)
{
	get_state(&after);
	compare(in, n);
}

static void sweep_freeze(const struct luo_injector *in, int fd, size_t pages)
{
	static off_t filled;
	unsigned int n;
	int err;

	if (start(in))
		return;
	for (n = 1; n < TURNS_MAX; n++) {
		CHECK_OK(luo_fill(fd, filled, pages * 4096, n));
		filled += pages * 4096;
		get_state(&before);
		CHECK_OK(in->arm(n));
		err = jump();
		if (!disarm(in))
			break;
		if (err != -EIO)
			CHECK_EQ(-ENOMEM, err);
		check_called_off(in, n);
	}
	in->stop();
	CHECK_EQ(-EIO, err);
	printf("    # %s: %u turns\n", in->name, n - 1);
}

static void freeze_with_faults(const struct scenario *s)
{
	int session, fd = luo_memfd(HOLES_FILE);

	CHECK_OK(load_module());
	CHECK_OK(load_kernel(""));
	session = refusing_session(s, fd);
	sweep_freeze(&luo_injectors[LUO_ALLOCATIONS], fd, MANY_PAGES);
	sweep_freeze(&luo_injectors[LUO_CALLS], fd, SOME_PAGES);

	CHECK_OK(luo_unpreserve(session, REFUSING_TOKEN));
	CHECK_OK(luo_write(TEST_CONTROL "fail", "0"));
	close(session);
}

const struct scenario fault_scenarios[] = {
	{ .name = "refused: retrieve, for lack of memory", .needs_file = LUO_FAILSLAB,
	  .stage = { save_for_faults, retrieve_with_faults } },
	{ .name = "refused: freeze, for lack of memory", .needs_module = true,
	  .stage = { freeze_with_faults, freeze_with_faults } },
	{ }
};
