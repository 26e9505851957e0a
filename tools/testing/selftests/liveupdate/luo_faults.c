// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and every call of KHO on the way of a call fails once in
 * turn. Whenever the call failed, all is as it was before.
 *
 * Rows say what is called; luo_kexec does the same for freeze and retrieve.
 * KASAN, kmemleak and lockdep should watch: see dev-tools/ in Documentation.
 */

#include <sys/eventfd.h>
#include <sys/wait.h>

#include "../kselftest_harness.h"
#include "luo_inject.h"
#include "luo_state.h"

#define TURNS_MAX	2000
#define NEVER		1000000000
/* Two pages of records. */
#define LARGE_FILE	(400l << 12)
#define LEAK_FILE	(64l << 20)
#define MANY_CALLS	1000000

/* How few free pages each CPU keeps for itself: 0 is as the kernel thinks. */
#define PAGES_AT_HAND	"/proc/sys/vm/percpu_pagelist_high_fraction"
/* More than fit into one block of records. */
#define MANY		80

struct faults {
	int dev;
	int session;
	int fd;
	/* What the last attempt made. */
	int made;
	/* Of many: the next one. */
	unsigned int number;
	int fds[MANY];
	struct luo_state before;
};

/* What fails, and how to make and to unmake what it is about. */
struct row {
	/* Once: the file in f->fd. */
	int (*file)(void);
	/* Before each attempt, and after one that succeeded. */
	int (*setup)(struct faults *f);
	int (*attempt)(struct faults *f);
	int (*undo)(struct faults *f);
	/* After one that failed. */
	int (*undo_setup)(struct faults *f);
	/* An attempt that has to succeed, whatever fails, or that is refused. */
	bool never_fails;
	int refused;
	/* KHO is not called. */
	bool no_calls;
	/* What an attempt made stays, and the next one makes another. */
	bool many;
};

/* ---- files ---- */

static int small_file(void)
{
	return luo_filled_memfd(20000, 1);
}

static int empty_file(void)
{
	return luo_memfd(0);
}

static int large_file(void)
{
	return luo_filled_memfd(LARGE_FILE, 2);
}

static int file_with_holes(void)
{
	int fd = luo_memfd(LARGE_FILE);
	int i, err = 0;

	for (i = 0; i < 40 && !err; i++)
		err = luo_fill(fd, i * 40000l, 5000, i);
	return err ?: fd;
}

/* Memory that nobody has written yet. */
static int allocated_file(void)
{
	int fd = luo_memfd(100 << 12);

	return fallocate(fd, 0, 0, 100 << 12) ? -errno : fd;
}

static int huge_file(void)
{
	return luo_thp_memfd(4 << 20, 3);
}

static int sealed_file(void)
{
	return luo_sealed_memfd(8192, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
}

static int foreign_file(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

/* ---- attempts ---- */

static int close_device(struct faults *f)
{
	close(f->dev);
	f->dev = -1;
	return 0;
}

static int open_device(struct faults *f)
{
	int fd = luo_open();

	if (fd < 0)
		return fd;
	f->dev = fd;
	return 0;
}

static int create(struct faults *f)
{
	f->made = luo_create(f->dev, "made");
	return f->made < 0 ? f->made : 0;
}

static int close_made(struct faults *f)
{
	return close(f->made) ? -errno : 0;
}

static int create_filled(struct faults *f)
{
	return create(f) ?: luo_preserve(f->made, f->fd, 1);
}

static int preserve(struct faults *f)
{
	return luo_preserve(f->session, f->fd, 1);
}

static int unpreserve(struct faults *f)
{
	return luo_unpreserve(f->session, 1);
}

/* One more than the last time. */
static int create_next(struct faults *f)
{
	char name[16];
	int session;

	snprintf(name, sizeof(name), "number %u", f->number);
	session = luo_create(f->dev, name);
	if (session < 0)
		return session;
	f->number++;
	return 0;
}

static int preserve_next(struct faults *f)
{
	int err = luo_preserve(f->session, f->fds[f->number], f->number);

	if (!err)
		f->number++;
	return err;
}

static int list_sessions(struct faults *f)
{
	struct liveupdate_session_entry entries[4];
	__u64 cursor = 0;
	int n = luo_list_sessions(f->dev, &cursor, entries, 4);

	return n < 0 ? n : n == 1 ? 0 : -EPROTO;
}

static int list_files(struct faults *f)
{
	struct liveupdate_file_entry entries[4];
	__u64 cursor = 0;
	int n = luo_list_files(f->session, &cursor, entries, 4);

	return n < 0 ? n : n == 1 ? 0 : -EPROTO;
}

static int get_info(struct faults *f)
{
	struct liveupdate_ioctl_get_info info;

	return luo_info(f->dev, &info);
}

static int get_name(struct faults *f)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];

	return luo_get_name(f->session, name);
}

static int read_fdinfo(struct faults *f)
{
	char path[64], text[256];
	int n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", f->session);
	n = luo_read_text(path, text, sizeof(text));
	return n < 0 ? n : 0;
}

static int read_debugfs(struct faults *f)
{
	char text[256];
	int n = luo_read_text(LUO_DEBUGFS, text, sizeof(text));

	return n < 0 ? n : 0;
}

static int read_sysfs(struct faults *f)
{
	long long n = luo_read_number(LUO_SYSFS "outgoing_files");

	return n < 0 ? n : 0;
}

static int retrieve_unknown(struct faults *f)
{
	return luo_retrieve(f->dev, "unknown");
}

static int reboot_refused(struct faults *f)
{
	return luo_reboot();
}

static int load_old_style(struct faults *f)
{
	return luo_load_old_style();
}

/* ---- rows ---- */

FIXTURE(faults)
{
	struct faults faults;
};

FIXTURE_VARIANT(faults)
{
	struct row row;
};

FIXTURE_VARIANT_ADD(faults, open)
{
	.row = {
		.setup = close_device, .attempt = open_device, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, create)
{
	.row = {
		.attempt = create, .undo = close_made, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, create_many)
{
	.row = {
		.attempt = create_next, .many = true,
	},
};

FIXTURE_VARIANT_ADD(faults, close)
{
	.row = {
		.setup = create, .attempt = close_made, .never_fails = true,
		.no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, close_with_a_file)
{
	.row = {
		.file = small_file, .setup = create_filled, .attempt = close_made,
		.never_fails = true, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, preserve)
{
	.row = {
		.file = small_file, .attempt = preserve, .undo = unpreserve,
	},
};

FIXTURE_VARIANT_ADD(faults, preserve_empty)
{
	.row = {
		.file = empty_file, .attempt = preserve, .undo = unpreserve,
	},
};

FIXTURE_VARIANT_ADD(faults, preserve_large)
{
	.row = {
		.file = large_file, .attempt = preserve, .undo = unpreserve,
	},
};

FIXTURE_VARIANT_ADD(faults, preserve_with_holes)
{
	.row = {
		.file = file_with_holes, .attempt = preserve, .undo = unpreserve,
	},
};

FIXTURE_VARIANT_ADD(faults, preserve_allocated)
{
	.row = {
		.file = allocated_file, .attempt = preserve, .undo = unpreserve,
	},
};

FIXTURE_VARIANT_ADD(faults, preserve_huge)
{
	.row = {
		.file = huge_file, .attempt = preserve, .undo = unpreserve,
	},
};

FIXTURE_VARIANT_ADD(faults, preserve_sealed)
{
	.row = {
		.file = sealed_file, .attempt = preserve, .undo = unpreserve,
	},
};

FIXTURE_VARIANT_ADD(faults, preserve_foreign)
{
	.row = {
		.file = foreign_file, .attempt = preserve, .refused = -ENOENT,
		.no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, preserve_many)
{
	.row = {
		.attempt = preserve_next, .many = true,
	},
};

FIXTURE_VARIANT_ADD(faults, unpreserve)
{
	.row = {
		.file = large_file, .setup = preserve, .attempt = unpreserve,
		.never_fails = true, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, list_sessions)
{
	.row = {
		.attempt = list_sessions, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, list_files)
{
	.row = {
		.file = small_file, .setup = preserve, .attempt = list_files,
		.undo = unpreserve, .undo_setup = unpreserve, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, get_info)
{
	.row = {
		.attempt = get_info, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, get_name)
{
	.row = {
		.attempt = get_name, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, fdinfo)
{
	.row = {
		.attempt = read_fdinfo, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, debugfs)
{
	.row = {
		.attempt = read_debugfs, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, sysfs)
{
	.row = {
		.attempt = read_sysfs, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, retrieve_unknown)
{
	.row = {
		.attempt = retrieve_unknown, .refused = -ENOENT, .no_calls = true,
	},
};

FIXTURE_VARIANT_ADD(faults, reboot)
{
	.row = {
		.file = small_file, .setup = load_old_style, .attempt = reboot_refused,
		.refused = -EOPNOTSUPP, .no_calls = true,
	},
};

/* ---- the sweep ---- */

FIXTURE_SETUP(faults)
{
	const struct row *row = &variant->row;
	struct faults *f = &self->faults;
	int i;

	f->fd = -1;
	f->dev = luo_open();
	if (f->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, f->dev);
	f->session = luo_create(f->dev, "session");
	ASSERT_LE(0, f->session);
	if (row->file) {
		f->fd = row->file();
		ASSERT_LE(0, f->fd);
	}
	for (i = 0; i < MANY && row->attempt == preserve_next; i++) {
		f->fds[i] = luo_memfd(i % 2 * 4096);
		ASSERT_LE(0, f->fds[i]);
	}
	/* Faults are for the kernel: no page of ours is to be missing. */
	ASSERT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
}

FIXTURE_TEARDOWN(faults)
{
	luo_unload();
}

static int no_step(struct faults *f)
{
	return 0;
}

/* Expects that nothing has changed since @before. */
static void compare(struct __test_metadata *_metadata, int dev,
		    const struct luo_state *before, const char *what, unsigned int n)
{
	static struct luo_state after;
	const char *differs;

	ASSERT_EQ(0, luo_state_get(dev, &after));
	differs = luo_state_differs(before, &after);
	EXPECT_EQ(NULL, differs)
		TH_LOG("%s %u: %s", what, n, differs);
}

static int look(struct faults *f, bool now)
{
	return now ? luo_state_get(f->dev, &f->before) : 0;
}

/*
 * One turn: 1 if there was an nth and it failed, 0 if the attempt is through
 * without.
 */
static int turn(struct __test_metadata *_metadata, struct faults *f,
		const struct row *row, const struct luo_injector *in,
		unsigned int n)
{
	int (*undo_setup)(struct faults *f) = row->undo_setup ?: no_step;
	int (*undo)(struct faults *f) = row->undo ?: no_step;
	int err, injected;

	/* What is not to fail may leave less than there was before. */
	ASSERT_EQ(0, look(f, row->never_fails));
	ASSERT_EQ(0, row->setup ? row->setup(f) : 0);
	ASSERT_EQ(0, look(f, !row->never_fails));

	ASSERT_EQ(0, in->arm(n));
	err = row->attempt(f);
	injected = in->disarm();
	ASSERT_LE(0, injected);

	if (err != -ENOMEM || !injected || row->never_fails) {
		EXPECT_EQ(row->refused, err)
			TH_LOG("%s %u", in->name, n);
	}
	if (err || row->never_fails)
		compare(_metadata, f->dev, &f->before, in->name, n);
	EXPECT_EQ(0, (err ? undo_setup : undo)(f));
	return injected;
}

/* The number of turns in which something failed. */
static unsigned int sweep_once(struct __test_metadata *_metadata, struct faults *f,
			       const struct row *row,
			       const struct luo_injector *in)
{
	unsigned int n;

	for (n = 1; n < TURNS_MAX && f->number < MANY; n++) {
		if (!turn(_metadata, f, row, in, n))
			break;
	}
	EXPECT_GT(TURNS_MAX, n);
	return n - 1;
}

static unsigned int sweep(struct __test_metadata *_metadata, struct faults *f,
			  const struct row *row, const struct luo_injector *in)
{
	unsigned int turns = 0;

	if (!row->many) {
		/* What the first time leaves for the next ones stays. */
		EXPECT_EQ(0, turn(_metadata, f, row, in, NEVER));
		return sweep_once(_metadata, f, row, in);
	}
	while (f->number < MANY)
		turns += sweep_once(_metadata, f, row, in);
	return turns;
}

TEST_F_TIMEOUT(faults, of_allocations_change_nothing, 300)
{
	const struct luo_injector *in = &luo_injectors[LUO_ALLOCATIONS];

	if (in->start())
		SKIP(return, "no CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC");
	TH_LOG("%u turns", sweep(_metadata, &self->faults, &variant->row, in));
	in->stop();
}

TEST_F_TIMEOUT(faults, of_calls_of_kho_change_nothing, 300)
{
	const struct luo_injector *in = &luo_injectors[LUO_CALLS];
	unsigned int turns;

	if (in->start())
		SKIP(return, "no CONFIG_FAIL_FUNCTION");
	turns = sweep(_metadata, &self->faults, &variant->row, in);
	in->stop();
	TH_LOG("%u turns", turns);
	EXPECT_EQ(variant->row.no_calls, !turns);
}

/* ---- an owner that dies, or takes back what it preserved ---- */

FIXTURE(owner)
{
	int dev;
	struct luo_state before;
};

FIXTURE_SETUP(owner)
{
	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
	ASSERT_EQ(0, luo_write(PAGES_AT_HAND, "1000000"));
}

FIXTURE_TEARDOWN(owner)
{
	luo_write(PAGES_AT_HAND, "0");
}

/* Exits with what was wrong before the end. */
static void live_and_die(int dev, unsigned int n)
{
	const struct luo_injector *in = &luo_injectors[LUO_ALLOCATIONS];
	int session = luo_create(dev, "mortal");

	if (session < 0 || luo_preserve(session, small_file(), 1) || in->start())
		_exit(1);
	_exit(in->arm(n) ? 2 : 0);
}

TEST_F(owner, whose_death_lacks_memory_leaves_nothing)
{
	unsigned int n;
	int status;
	pid_t pid;

	if (access(LUO_FAILSLAB, F_OK))
		SKIP(return, "no CONFIG_FAILSLAB");
	for (n = 1; n <= 12; n++) {
		ASSERT_EQ(0, luo_state_get(self->dev, &self->before));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			live_and_die(self->dev, n);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		compare(_metadata, self->dev, &self->before, "death", n);
	}
}

/* How many calls of KHO it takes to preserve a file, or -1. */
static int count_calls(const struct luo_injector *in, int session, int fd)
{
	long long left;
	int err;

	if (in->arm(MANY_CALLS))
		return -1;
	err = luo_preserve(session, fd, 1);
	left = luo_read_number(LUO_FAILFUNC "space");
	if (err || in->disarm() || luo_unpreserve(session, 1) || left < 0)
		return -1;
	return MANY_CALLS - left;
}

/* A reference that was not dropped would keep the memory after the close. */
TEST_F(owner, gets_the_memory_of_what_could_not_be_preserved_back)
{
	const struct luo_injector *in = &luo_injectors[LUO_CALLS];
	int session = luo_create(self->dev, "session"), fd, calls;
	long long before;

	ASSERT_LE(0, session);
	if (in->start())
		SKIP(return, "no CONFIG_FAIL_FUNCTION");
	before = luo_free_memory();
	fd = luo_filled_memfd(LEAK_FILE, 1);
	ASSERT_LE(0, fd);
	/* The first time folios may have to be moved, which takes calls of its own. */
	ASSERT_LE(0, count_calls(in, session, fd));
	calls = count_calls(in, session, fd);
	ASSERT_LT(LEAK_FILE >> 12 >> 8, calls);
	/* Near the end. */
	ASSERT_EQ(0, in->arm(calls - 1));
	EXPECT_EQ(-ENOMEM, luo_preserve(session, fd, 1));
	EXPECT_EQ(1, in->disarm());
	in->stop();
	close(fd);
	EXPECT_LT(before - LEAK_FILE / 2, luo_free_memory());
}

TEST_F(owner, gets_the_memory_of_what_is_unpreserved_back)
{
	long long before = luo_free_memory();
	int session = luo_create(self->dev, "session");
	int fd = luo_filled_memfd(LEAK_FILE, 1);

	ASSERT_LE(0, session);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, luo_preserve(session, fd, 1));
	ASSERT_EQ(0, luo_unpreserve(session, 1));
	close(fd);
	EXPECT_LT(before - LEAK_FILE / 2, luo_free_memory());
}

TEST_HARNESS_MAIN
