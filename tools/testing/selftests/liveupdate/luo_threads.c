// SPDX-License-Identifier: GPL-2.0
/*
 * Threads and processes that make, fill, empty, list and close sessions at the
 * same time, against each other and against reboots that are refused or called
 * off.
 *
 * Each worker knows which results are possible and which invariants hold for
 * what it owns; all else counts as wrong. In the environment: LUO_SECONDS, how
 * long they run; LUO_LOAD, a shell command that loads a kernel, for the reboots
 * that get as far as to freeze files. These need luo_test_handlers.ko loaded.
 */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "../kselftest_harness.h"
#include "luo_test.h"
#include "luo_uffd.h"

#define NAMES		4
#define FILES		4
#define ANCHOR_TOKEN	1000
#define FILE_SIZE	(16 << 10)
#define HOLES		4
#define HOLES_SIZE	(8 << 20)
#define REFUSING_TOKEN	2000

#define TEST_HANDLER	"/dev/luo-test-v1"
#define TEST_CONTROL	"/sys/kernel/debug/liveupdate_test/"
#define TEST_RULE	"luo-test-v1 freeze 0 5"

struct race {
	int dev;
	/* A session that stays, with one file that stays. */
	int anchor;
	int files[FILES];
	/* In the anchor, if freeze is to have something to do. */
	int holes[HOLES];
	atomic_bool stop;
	atomic_int owners[NAMES];
	atomic_int holders[FILES];
	/* An fd that one worker replaces under the hands of others. */
	atomic_int moving;
	atomic_int wrong;
	atomic_int rounds;
	char what[160];
};

static void wrong(struct race *race, const char *what, int seen)
{
	if (!atomic_fetch_add(&race->wrong, 1))
		snprintf(race->what, sizeof(race->what), "%s: %d", what, seen);
}

static unsigned int dice(unsigned int *seed, unsigned int sides)
{
	return rand_r(seed) % sides;
}

/* ---- workers: one round each ---- */

/* A name has one owner at a time. */
static void create_and_close(struct race *race, unsigned int *seed)
{
	unsigned int n = dice(seed, NAMES);
	char name[2] = { 'a' + n };
	int fd, session = luo_create(race->dev, name);

	if (session == -EEXIST)
		return;
	if (session < 0) {
		wrong(race, "create", session);
		return;
	}
	if (atomic_fetch_add(&race->owners[n], 1))
		wrong(race, "two have the session", n);
	fd = luo_memfd(dice(seed, 2) * 8192);
	if (luo_preserve(session, fd, 1))
		wrong(race, "preserve in own session", n);
	if (dice(seed, 2) && luo_unpreserve(session, 1))
		wrong(race, "unpreserve in own session", n);
	atomic_fetch_sub(&race->owners[n], 1);
	close(session);
	close(fd);
}

/* A file is preserved once at a time, whatever the session and the token. */
static void preserve_and_unpreserve(struct race *race, unsigned int *seed)
{
	unsigned int n = dice(seed, FILES), token = dice(seed, FILES);
	int err = luo_preserve(race->anchor, race->files[n], token);

	if (err == -EBUSY || err == -EEXIST)
		return;
	if (err) {
		wrong(race, "preserve", err);
		return;
	}
	if (atomic_fetch_add(&race->holders[n], 1))
		wrong(race, "file preserved twice", n);
	if (luo_size(race->files[n]) != FILE_SIZE)
		wrong(race, "size while preserved", n);
	atomic_fetch_sub(&race->holders[n], 1);
	err = luo_unpreserve(race->anchor, token);
	if (err)
		wrong(race, "unpreserve", err);
}

/* What stays is listed exactly once. */
static void list_sessions(struct race *race, unsigned int *seed)
{
	struct liveupdate_session_entry entries[4];
	unsigned int step = 1 + dice(seed, 4);
	__u64 cursor = 0;
	int i, n, found = 0;

	while ((n = luo_list_sessions(race->dev, &cursor, entries, step)) > 0) {
		for (i = 0; i < n; i++)
			found += !strcmp((char *)entries[i].name, "anchor");
	}
	if (n || found != 1)
		wrong(race, "anchor in the list of sessions", n ?: found);
}

static void list_files(struct race *race, unsigned int *seed)
{
	struct liveupdate_file_entry entries[4];
	unsigned int step = 1 + dice(seed, 4);
	__u64 cursor = 0;
	int i, n, found = 0;

	while ((n = luo_list_files(race->anchor, &cursor, entries, step)) > 0) {
		for (i = 0; i < n; i++)
			found += entries[i].token == ANCHOR_TOKEN;
	}
	if (n || found != 1)
		wrong(race, "anchor in the list of files", n ?: found);
}

static void look(struct race *race, unsigned int *seed)
{
	struct liveupdate_ioctl_get_info info;
	char text[4096];
	int fd;

	if (luo_info(race->dev, &info) || !info.outgoing_sessions || !info.outgoing_files)
		wrong(race, "info", info.outgoing_sessions);
	if (luo_read_number(LUO_SYSFS "outgoing_files") < 1)
		wrong(race, "sysfs", 0);
	fd = open("/sys/kernel/debug/liveupdate/sessions", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while (read(fd, text, 1 + dice(seed, sizeof(text))) > 0)
		;
	close(fd);
}

/* Either it is done whole, or it is refused because the file is preserved. */
static void change_size_and_write(struct race *race, unsigned int *seed)
{
	int fd = race->files[dice(seed, FILES)];

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096) &&
	    errno != EBUSY)
		wrong(race, "punch", errno);
	if (fcntl(fd, F_GET_SEALS))
		wrong(race, "seals", fcntl(fd, F_GET_SEALS));
	if (pwrite(fd, "x", 1, dice(seed, FILE_SIZE)) != 1)
		wrong(race, "write", errno);
}

/* The fd may be closed, or be another session, or no session any more. */
static void use_moving(struct race *race, unsigned int *seed)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	int err = luo_get_name(atomic_load(&race->moving), name);

	if (err && err != -EBADF && err != -ENOTTY)
		wrong(race, "use of an fd that moves", err);
	err = luo_preserve(atomic_load(&race->moving), race->anchor, 7);
	if (err != -EINVAL && err != -EBADF && err != -ENOTTY)
		wrong(race, "preserve in an fd that moves", err);
}

static void replace_moving(struct race *race, unsigned int *seed)
{
	int old = atomic_load(&race->moving);

	if (old >= 0)
		close(old);
	old = luo_create(race->dev, "moving");
	/* EEXIST: who was using the session while it was closed still is. */
	if (old < 0 && old != -EEXIST)
		wrong(race, "create after close", old);
	atomic_store(&race->moving, old);
}

static void kill_owner(struct race *race, unsigned int *seed)
{
	pid_t pid = fork();
	int i;

	if (pid < 0)
		return;
	if (!pid) {
		for (i = 0; ; i++) {
			char name[16];
			int session;

			snprintf(name, sizeof(name), "%d %d", getpid(), i % 8);
			session = luo_create(race->dev, name);
			luo_preserve(session, luo_memfd(8192), i);
			if (i % 2)
				close(session);
		}
	}
	usleep(1000 * dice(seed, 50));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void fail_to_reboot(struct race *race, unsigned int *seed)
{
	int err = luo_reboot();

	/* EBUSY: another one is at it. */
	if (err != -EOPNOTSUPP && err != -EBUSY)
		wrong(race, "reboot", err);
}

/* The files with holes have been frozen when the last one refuses. */
static void call_reboot_off(struct race *race, unsigned int *seed)
{
	int err = luo_reboot();

	if (err != -EIO && err != -EBUSY)
		wrong(race, "reboot that is called off", err);
}

/* Waits as long as the file is frozen. */
static void fill_holes(struct race *race, unsigned int *seed)
{
	int fd = race->holes[dice(seed, HOLES)];
	off_t at = dice(seed, HOLES_SIZE);
	char seen, c = dice(seed, 256);

	if (pwrite(fd, &c, 1, at) != 1)
		wrong(race, "write into a hole", errno);
	/* Others write other values, but nobody makes it a hole again. */
	if (pread(fd, &seen, 1, at) != 1 || lseek(fd, at, SEEK_DATA) != at)
		wrong(race, "hole after a write", errno);
}

static void fill_holes_by_mapping(struct race *race, unsigned int *seed)
{
	int fd = race->holes[dice(seed, HOLES)];
	char *map = mmap(NULL, HOLES_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int i;

	if (map == MAP_FAILED) {
		wrong(race, "mmap", errno);
		return;
	}
	for (i = 0; i < 20; i++)
		map[dice(seed, HOLES_SIZE)] = 1;
	munmap(map, HOLES_SIZE);
}

/* Has to wait like others who fill holes, and is not told to try again. */
static void fill_holes_by_userfaultfd(struct race *race, unsigned int *seed)
{
	static char page[4096];
	int fd = race->holes[dice(seed, HOLES)], uffd, i;
	char *map = mmap(NULL, HOLES_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED) {
		wrong(race, "mmap", errno);
		return;
	}
	uffd = luo_watch(map, HOLES_SIZE, UFFDIO_REGISTER_MODE_MISSING, 0);
	for (i = 0; i < 20 && uffd >= 0; i++) {
		struct uffdio_copy copy = {
			.dst = (uintptr_t)map + dice(seed, HOLES_SIZE / 4096) * 4096ul,
			.src = (uintptr_t)page,
			.len = sizeof(page),
		};

		if (ioctl(uffd, UFFDIO_COPY, &copy) && errno != EEXIST)
			wrong(race, "UFFDIO_COPY", errno);
	}
	close(uffd);
	munmap(map, HOLES_SIZE);
}

/* ---- running them ---- */

typedef void (*worker_fn)(struct race *race, unsigned int *seed);

struct worker {
	pthread_t thread;
	struct race *race;
	worker_fn fn;
	unsigned int seed;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load(&w->race->stop)) {
		w->fn(w->race, &w->seed);
		atomic_fetch_add(&w->race->rounds, 1);
	}
	return NULL;
}

static unsigned int seconds(void)
{
	const char *text = getenv("LUO_SECONDS");

	return text ? strtoul(text, NULL, 10) : 3;
}

static int run(struct race *race, const worker_fn *fns, unsigned int n)
{
	struct worker workers[16];
	unsigned int i, started;

	for (started = 0; started < n; started++) {
		workers[started] = (struct worker) {
			.race = race,
			.fn = fns[started],
			.seed = started + 1,
		};
		if (pthread_create(&workers[started].thread, NULL, work, &workers[started]))
			break;
	}
	sleep(seconds());
	atomic_store(&race->stop, true);
	for (i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	return started == n ? 0 : -EAGAIN;
}

FIXTURE(race)
{
	struct race race;
};

FIXTURE_VARIANT(race)
{
	worker_fn fns[16];
	/* Reboots freeze files before they are called off. */
	bool freezes;
};

FIXTURE_VARIANT_ADD(race, create_and_close) {
	.fns = { create_and_close, create_and_close, create_and_close },
};

FIXTURE_VARIANT_ADD(race, preserve_and_unpreserve) {
	.fns = { preserve_and_unpreserve, preserve_and_unpreserve,
		 preserve_and_unpreserve },
};

FIXTURE_VARIANT_ADD(race, lists) {
	.fns = { create_and_close, preserve_and_unpreserve, list_sessions, list_files },
};

FIXTURE_VARIANT_ADD(race, watchers) {
	.fns = { create_and_close, preserve_and_unpreserve, look, look },
};

FIXTURE_VARIANT_ADD(race, writers) {
	.fns = { preserve_and_unpreserve, preserve_and_unpreserve,
		 change_size_and_write, change_size_and_write },
};

FIXTURE_VARIANT_ADD(race, close_under_use) {
	.fns = { use_moving, use_moving, replace_moving },
};

FIXTURE_VARIANT_ADD(race, killed_owners) {
	.fns = { kill_owner, list_sessions, create_and_close },
};

FIXTURE_VARIANT_ADD(race, reboots) {
	.fns = { fail_to_reboot, fail_to_reboot, create_and_close,
		 preserve_and_unpreserve },
};

FIXTURE_VARIANT_ADD(race, called_off) {
	.fns = { call_reboot_off, call_reboot_off, create_and_close,
		 preserve_and_unpreserve, fill_holes, fill_holes_by_mapping,
		 fill_holes_by_userfaultfd, list_files, look },
	.freezes = true,
};

FIXTURE_VARIANT_ADD(race, all) {
	.fns = { fail_to_reboot, create_and_close, create_and_close,
		 preserve_and_unpreserve, preserve_and_unpreserve,
		 change_size_and_write, list_sessions, list_files, look,
		 use_moving, replace_moving, kill_owner },
};

/*
 * Files to be frozen, and after them one that refuses: as long as it is there
 * no reboot goes through.
 */
static int prepare_freeze(struct race *race)
{
	char line[64];
	int i, err, fd;

	for (i = 0; i < HOLES; i++) {
		race->holes[i] = luo_memfd(HOLES_SIZE);
		err = luo_preserve(race->anchor, race->holes[i], i);
		if (err)
			return err;
	}
	err = luo_write(TEST_CONTROL "fail", "0") ?:
	      luo_write(TEST_CONTROL "fail", TEST_RULE) ?:
	      luo_read_line(TEST_CONTROL "fail", line, sizeof(line));
	if (err || strcmp(line, TEST_RULE))
		return err ?: -EPROTO;
	fd = open(TEST_HANDLER, O_RDWR | O_CLOEXEC);
	err = fd < 0 ? -errno : luo_preserve(race->anchor, fd, REFUSING_TOKEN);
	close(fd);
	return err ?: system(getenv("LUO_LOAD")) ? -ENOEXEC : 0;
}

static void end_freeze(struct race *race)
{
	int i;

	/* Nothing could be loaded while there is no file that refuses. */
	luo_unload();
	for (i = 0; i < HOLES; i++)
		luo_unpreserve(race->anchor, i);
	luo_unpreserve(race->anchor, REFUSING_TOKEN);
	luo_write(TEST_CONTROL "fail", "0");
}

FIXTURE_SETUP(race)
{
	struct race *race = &self->race;
	int i;

	memset(race, 0, sizeof(*race));
	race->dev = luo_open();
	if (race->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, race->dev);
	race->anchor = luo_create(race->dev, "anchor");
	ASSERT_LE(0, race->anchor);
	ASSERT_EQ(0, luo_preserve(race->anchor, luo_memfd(0), ANCHOR_TOKEN));
	for (i = 0; i < FILES; i++) {
		race->files[i] = luo_filled_memfd(FILE_SIZE, i);
		ASSERT_LE(0, race->files[i]);
	}
	atomic_store(&race->moving, -1);
	if (!variant->freezes) {
		ASSERT_EQ(0, luo_load_old_style());
		return;
	}
	if (access(TEST_CONTROL, F_OK) || !getenv("LUO_LOAD"))
		SKIP(return, "no luo_test_handlers.ko or no LUO_LOAD");
	ASSERT_EQ(0, prepare_freeze(race));
}

FIXTURE_TEARDOWN(race)
{
	luo_unload();
}

static unsigned int count_fns(const worker_fn *fns)
{
	unsigned int n = 0;

	while (n < 16 && fns[n])
		n++;
	return n;
}

TEST_F_TIMEOUT(race, keeps_every_invariant, 300)
{
	struct race *race = &self->race;
	struct liveupdate_ioctl_get_info info;

	ASSERT_EQ(0, run(race, variant->fns, count_fns(variant->fns)));
	EXPECT_EQ(0, atomic_load(&race->wrong))
		TH_LOG("%s", race->what);
	EXPECT_LT(0, atomic_load(&race->rounds));
	TH_LOG("%d rounds", atomic_load(&race->rounds));

	if (atomic_load(&race->moving) >= 0)
		close(atomic_load(&race->moving));
	if (variant->freezes)
		end_freeze(race);
	ASSERT_EQ(0, luo_info(race->dev, &info));
	EXPECT_EQ(1, info.outgoing_sessions);
	EXPECT_EQ(1, info.outgoing_files);
	EXPECT_EQ(0, luo_unpreserve(race->anchor, ANCHOR_TOKEN));
}

TEST_HARNESS_MAIN
