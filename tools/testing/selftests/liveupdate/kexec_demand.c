// SPDX-License-Identifier: GPL-2.0
/*
 * Memfds whose folios come in after them, when they are touched or meanwhile.
 */

#include <pthread.h>

#include "kexec_scenarios.h"
#include "luo_uffd.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define DEMAND		"/sys/module/memfd_luo_demand/parameters/"
#define DEMAND_ONLY	DEMAND "only"
#define DEMAND_MIN	DEMAND "min_pages"

#define TOKEN	5
#define SEED	7

/* What one page of records has. */
#define UNIT_KB	1024ll
#define SIZE	(16 * MIB)
#define HOLE	(5 * MIB)
#define PAGES	(SIZE / 4096)

/* Nothing comes in that nobody asks for. */
static void only_on_demand(bool only)
{
	CHECK_OK(luo_write(DEMAND_ONLY, only ? "1" : "0"));
}

/* Returns the session. */
static int keep(const struct scenario *s, int fd)
{
	int session = outgoing(s);

	CHECK_FD(session);
	CHECK_FD(fd);
	CHECK_OK(luo_preserve(session, fd, TOKEN));
	return session;
}

static int retrieved(const struct scenario *s, int *session)
{
	int fd;

	*session = incoming(s);
	CHECK_FD(*session);
	fd = luo_retrieve_fd(*session, TOKEN);
	CHECK_FD(fd);
	return fd;
}

static void punch(int fd, off_t offset, off_t len)
{
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len));
}

/* ---- the way of a file ---- */

static void check_content(int fd)
{
	char page[4096], zero[4096] = {};

	CHECK_OK(luo_verify(fd, 0, HOLE, SEED));
	CHECK_EQ(sizeof(page), pread(fd, page, sizeof(page), HOLE));
	CHECK_OK(memcmp(page, zero, sizeof(page)));
	CHECK_OK(luo_verify(fd, HOLE + 4096, SIZE - HOLE - 4096, SEED));
}

static void save(const struct scenario *s)
{
	int fd = luo_filled_memfd(SIZE, SEED);

	punch(fd, HOLE, 4096);
	keep(s, fd);
}

static long long blocks_kb(int fd)
{
	struct stat stat;

	CHECK_OK(fstat(fd, &stat));
	return stat.st_blocks / 2;
}

static int waiting_mib(int session)
{
	struct liveupdate_file_entry entry;
	__u64 cursor = 0;

	CHECK_EQ(1, luo_list_files(session, &cursor, &entry, 1));
	return entry.waiting;
}

/* What the last page of records has, which is not full. */
#define LAST_KB	(UNIT_KB - 4)

/* Neither FINISH nor PRESERVE_FD waits for it. */
static void touch_and_hand_on(const struct scenario *s)
{
	const long long all = (SIZE - 4096) / 1024;
	int session, next, fd;

	only_on_demand(true);
	fd = retrieved(s, &session);
	CHECK_EQ(all, luo_waiting_kb(fd));
	CHECK_EQ(all, blocks_kb(fd));
	CHECK_EQ(SIZE / MIB, waiting_mib(session));
	CHECK_OK(luo_finish(session));
	CHECK_EQ(all, luo_waiting_kb(fd));

	/* The hole is before it, so this is not where a page of records ends. */
	CHECK_OK(luo_verify(fd, SIZE / 2 + 65536, 4096, SEED));
	CHECK_EQ(all - UNIT_KB, luo_waiting_kb(fd));
	CHECK_OK(luo_verify(fd, SIZE / 2 + 65536, 8192, SEED));
	CHECK_EQ(all - UNIT_KB, luo_waiting_kb(fd));
	CHECK_EQ(all, blocks_kb(fd));

	next = outgoing(s);
	CHECK_FD(next);
	CHECK_OK(luo_preserve(next, fd, TOKEN));
	CHECK_EQ(all - UNIT_KB - LAST_KB, luo_waiting_kb(fd));

	/* What comes in now stays what it is for the next kernel. */
	CHECK_OK(luo_verify(fd, MIB, 4096, SEED));
	CHECK_EQ(all - 2 * UNIT_KB - LAST_KB, luo_waiting_kb(fd));
	CHECK_OK(luo_fill(fd, MIB, 4096, SEED + 1));
	only_on_demand(false);
}

static void check_at_the_end(const struct scenario *s)
{
	int session, fd = retrieved(s, &session);

	CHECK_OK(luo_verify(fd, MIB, 4096, SEED + 1));
	CHECK_OK(luo_fill(fd, MIB, 4096, SEED));
	check_content(fd);
	wait_until_whole(fd);
	CHECK_EQ(0, waiting_mib(session));
	CHECK_EQ((SIZE - 4096) / 1024, blocks_kb(fd));
	CHECK_OK(luo_finish(session));
}

/* ---- what takes for a hole what is not in the page cache ---- */

#define RANGE	(2 * MIB)
/* The pages before it are of one page of records, those behind it of others. */
#define GAP	(4 * MIB)
#define GAP_SIZE	65536

static void save_with_gap(const struct scenario *s)
{
	int fd = luo_filled_memfd(SIZE, SEED);

	punch(fd, GAP, GAP_SIZE);
	keep(s, fd);
}

/* A huge page has no place there, but nothing of what it would replace has come in. */
static void fill_gap(int fd)
{
	char page[4096];

	CHECK_OK(luo_write(LUO_THP "shmem_enabled", "always"));
	luo_pattern_bytes(SEED, GAP, page, sizeof(page));
	CHECK_EQ(sizeof(page), pwrite(fd, page, sizeof(page), GAP));
	CHECK_OK(luo_write(LUO_THP "shmem_enabled", "never"));
	CHECK_AT_LEAST((SIZE - GAP) / 1024 - UNIT_KB, luo_waiting_kb(fd));
}

static void copy_into(char *map)
{
	static char page[4096];
	struct uffdio_copy copy = {
		.dst = (uintptr_t)map,
		.src = (uintptr_t)page,
		.len = sizeof(page),
	};
	int uffd = luo_watch(map, RANGE, UFFDIO_REGISTER_MODE_MISSING, 0);

	CHECK_FD(uffd);
	CHECK_EQ(-1, ioctl(uffd, UFFDIO_COPY, &copy));
	CHECK_EQ(-EEXIST, copy.copy);
	close(uffd);
}

static void fill_what_waits(const struct scenario *s)
{
	int session, fd;
	char *map;

	only_on_demand(true);
	fd = retrieved(s, &session);
	map = mmap(NULL, RANGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, SIZE - RANGE);
	CHECK(map != MAP_FAILED);
	fill_gap(fd);
	CHECK_EQ(-1, madvise(map, RANGE, MADV_COLLAPSE));
	copy_into(map);
	CHECK_OK(munmap(map, RANGE));

	CHECK_OK(luo_verify(fd, 0, GAP + 4096, SEED));
	CHECK_OK(luo_verify(fd, GAP + GAP_SIZE, SIZE - GAP - GAP_SIZE, SEED));
	only_on_demand(false);
	CHECK_OK(luo_finish(session));
}

/* ---- in folios of 2 MiB ---- */

static void save_thp(const struct scenario *s)
{
	int fd = luo_thp_memfd(SIZE, SEED);

	punch(fd, HOLE, 4096);
	keep(s, fd);
}

/* All its records are in one page, which would not be worth it. */
static void check_thp(const struct scenario *s)
{
	char was[16];
	int session, fd;

	CHECK_OK(luo_read_line(DEMAND_MIN, was, sizeof(was)));
	CHECK_OK(luo_write(DEMAND_MIN, "1"));
	only_on_demand(true);
	fd = retrieved(s, &session);
	CHECK_EQ((SIZE - 4096) / 1024, luo_waiting_kb(fd));
	CHECK_OK(luo_verify(fd, 0, HOLE, SEED));
	CHECK_EQ(0, luo_waiting_kb(fd));
	CHECK_OK(luo_verify(fd, HOLE + 4096, SIZE - HOLE - 4096, SEED));
	CHECK_OK(luo_finish(session));
	only_on_demand(false);
	CHECK_OK(luo_write(DEMAND_MIN, was));
}

/* ---- nobody touches it ---- */

static void save_whole(const struct scenario *s)
{
	keep(s, luo_filled_memfd(SIZE, SEED));
}

/* Where the file is, in a file of its own. */
static void save_frames(const struct scenario *s)
{
	static __u64 frames[PAGES];
	int list = luo_memfd(sizeof(frames)), fd = luo_filled_memfd(SIZE, SEED);
	int session = keep(s, fd);
	__u64 *words;

	CHECK_FD(list);
	/* It may have moved the pages, and nothing does from now on. */
	words = mmap(NULL, SIZE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	CHECK(words != MAP_FAILED);
	CHECK_OK(luo_frames(words, PAGES, frames));
	CHECK_OK(munmap(words, SIZE));
	CHECK_EQ(sizeof(frames), pwrite(list, frames, sizeof(frames), 0));
	CHECK_OK(luo_preserve(session, list, TOKEN + 1));
}

#define ANOTHER	"demand: another"

/* While that waits, what nobody has restored is handed on, too. */
static void save_with_another(const struct scenario *s)
{
	save_another(ANOTHER);
	save_frames(s);
}

/* The jump comes while pages of it wait, and what it has is preserved no more. */
static void leave_it(const struct scenario *s)
{
	int session, next = outgoing(s), fd, list;

	CHECK_FD(next);
	only_on_demand(true);
	fd = retrieved(s, &session);
	CHECK_EQ(SIZE / 1024, luo_waiting_kb(fd));
	CHECK_OK(luo_verify(fd, 0, 4096, SEED));
	only_on_demand(false);
	list = luo_retrieve_fd(session, TOKEN + 1);
	CHECK_FD(list);
	CHECK_OK(luo_finish(session));
	CHECK_EQ(PAGES - UNIT_KB / 4, count_reserved(list, PAGES));
	CHECK_OK(luo_preserve(next, list, TOKEN + 1));
}

static void check_memory(const struct scenario *s)
{
	check_nothing_reserved(s, ANOTHER, TOKEN + 1, PAGES);
}

static void close_it(const struct scenario *s)
{
	int session, fd, list;

	only_on_demand(true);
	fd = retrieved(s, &session);
	only_on_demand(false);
	list = luo_retrieve_fd(session, TOKEN + 1);
	CHECK_FD(list);
	CHECK_OK(luo_verify(fd, SIZE / 2, 4096, SEED));
	CHECK_OK(luo_finish(session));
	CHECK_EQ(PAGES - UNIT_KB / 4, count_reserved(list, PAGES));
	close(fd);
	CHECK_EQ(0, count_reserved(list, PAGES));
}

static void wait_for_it(const struct scenario *s)
{
	int session, fd = retrieved(s, &session);

	wait_until_whole(fd);
	CHECK_OK(luo_verify(fd, 0, SIZE, SEED));
	CHECK_OK(luo_finish(session));
}

/* ---- the next update comes before all is there ---- */

/* Of each page that is written, a MiB apart from the others. */
#define WRITTEN		(SEED + 1)

static void touch(int fd, off_t offset)
{
	CHECK_OK(luo_verify(fd, offset, 4096, SEED));
	CHECK_OK(luo_fill(fd, offset, 4096, WRITTEN));
}

static void check_touched(int fd, off_t offset)
{
	CHECK_OK(luo_verify(fd, offset, 4096, WRITTEN));
	CHECK_OK(luo_fill(fd, offset, 4096, SEED));
}

/* Two come in before, one while the file is preserved and taken back, and one after. */
static void hand_on_what_waits(const struct scenario *s)
{
	int session, next = outgoing(s), fd, list;

	CHECK_FD(next);
	only_on_demand(true);
	fd = retrieved(s, &session);
	list = luo_retrieve_fd(session, TOKEN + 1);
	CHECK_FD(list);
	CHECK_OK(luo_finish(session));
	touch(fd, 0);
	touch(fd, SIZE / 2);
	CHECK_EQ(SIZE / 1024 - 2 * UNIT_KB, luo_waiting_kb(fd));

	CHECK_OK(luo_preserve(next, fd, TOKEN));
	CHECK_OK(luo_preserve(next, list, TOKEN + 1));
	CHECK_EQ(SIZE / 1024 - 2 * UNIT_KB, luo_waiting_kb(fd));
	touch(fd, 3 * MIB);
	CHECK_OK(luo_unpreserve(next, TOKEN));
	CHECK_EQ(SIZE / 1024 - 3 * UNIT_KB, luo_waiting_kb(fd));
	CHECK_EQ(PAGES - 3 * UNIT_KB / 4, count_reserved(list, PAGES));
	CHECK_OK(luo_preserve(next, fd, TOKEN));
	touch(fd, SIZE - MIB);
	CHECK_EQ(SIZE / 1024 - 4 * UNIT_KB, luo_waiting_kb(fd));
	only_on_demand(false);
}

/* Some of what is checked came on demand twice, and all of it is free in the end. */
static void check_what_was_handed_on(const struct scenario *s)
{
	int session, fd, list;

	only_on_demand(true);
	fd = retrieved(s, &session);
	list = luo_retrieve_fd(session, TOKEN + 1);
	CHECK_FD(list);
	CHECK_EQ(SIZE / 1024, luo_waiting_kb(fd));
	check_touched(fd, 3 * MIB);
	CHECK_EQ(SIZE / 1024 - UNIT_KB, luo_waiting_kb(fd));
	check_touched(fd, 0);
	check_touched(fd, SIZE / 2);
	check_touched(fd, SIZE - MIB);
	CHECK_OK(luo_verify(fd, 0, SIZE, SEED));
	CHECK_EQ(0, luo_waiting_kb(fd));
	only_on_demand(false);
	CHECK_OK(luo_finish(session));
	close(fd);
	CHECK_EQ(0, count_reserved(list, PAGES));
}

/* As a kernel does that takes in nothing on demand. */
static void check_at_once(const struct scenario *s)
{
	char was[16];
	int session, fd, list;

	CHECK_OK(luo_read_line(DEMAND_MIN, was, sizeof(was)));
	CHECK_OK(luo_write(DEMAND_MIN, "0"));
	fd = retrieved(s, &session);
	CHECK_OK(luo_write(DEMAND_MIN, was));
	list = luo_retrieve_fd(session, TOKEN + 1);
	CHECK_FD(list);
	CHECK_EQ(0, luo_waiting_kb(fd));
	check_touched(fd, 0);
	check_touched(fd, 3 * MIB);
	check_touched(fd, SIZE / 2);
	check_touched(fd, SIZE - MIB);
	CHECK_OK(luo_verify(fd, 0, SIZE, SEED));
	CHECK_OK(luo_finish(session));
	close(fd);
	CHECK_EQ(0, count_reserved(list, PAGES));
}

/* Its session is handed on with it, as it was never finished. */
static void leave_it_unfinished(const struct scenario *s)
{
	int session, fd;

	only_on_demand(true);
	fd = retrieved(s, &session);
	touch(fd, 0);
	CHECK_EQ(SIZE / 1024 - UNIT_KB, luo_waiting_kb(fd));
	only_on_demand(false);
}

static void check_unfinished(const struct scenario *s)
{
	int session, fd;

	only_on_demand(true);
	fd = retrieved(s, &session);
	CHECK_EQ(SIZE / 1024, luo_waiting_kb(fd));
	check_touched(fd, 0);
	CHECK_OK(luo_verify(fd, 0, SIZE, SEED));
	CHECK_OK(luo_finish(session));
	only_on_demand(false);
}

/* ---- all at once ---- */

#define THREADS	4

struct toucher {
	pthread_t thread;
	int fd, number, err;
};

/* Each in another order; by read(), and by a mapping of one's own. */
static void *touch_all(void *arg)
{
	struct toucher *t = arg;
	char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	long long i, page;

	if (map == MAP_FAILED) {
		t->err = -errno;
		return NULL;
	}
	for (i = 0; i < PAGES && !t->err; i++) {
		page = t->number % 2 ? i * (2 * t->number + 4099) % PAGES : PAGES - 1 - i;
		if (t->number < 2)
			t->err = luo_verify(t->fd, page * 4096, 4096, SEED);
		else if (*(__u64 *)(map + page * 4096) != luo_pattern(SEED, page * 4096))
			t->err = -EILSEQ;
	}
	munmap(map, SIZE);
	return NULL;
}

static void many_touch_it(const struct scenario *s)
{
	struct toucher touchers[THREADS];
	int session, fd = retrieved(s, &session), i;

	for (i = 0; i < THREADS; i++) {
		touchers[i] = (struct toucher){ .fd = fd, .number = i };
		CHECK_OK(pthread_create(&touchers[i].thread, NULL, touch_all, &touchers[i]));
	}
	CHECK_OK(luo_finish(session));
	/* What completes the file comes between them. */
	CHECK_EQ(SIZE, lseek(fd, 0, SEEK_HOLE));
	for (i = 0; i < THREADS; i++) {
		CHECK_OK(pthread_join(touchers[i].thread, NULL));
		CHECK_OK(touchers[i].err);
	}
	CHECK_EQ(0, luo_waiting_kb(fd));
	punch(fd, 0, SIZE / 2);
	CHECK_EQ(SIZE / 2 / 1024, blocks_kb(fd));
	CHECK_OK(luo_verify(fd, SIZE / 2, SIZE / 2, SEED));
}

const struct scenario demand_scenarios[] = {
	{ "pages_come_in_when_they_are_touched", .needs_file = DEMAND_ONLY,
	  .stage = { save, touch_and_hand_on, check_at_the_end } },
	{ "pages_that_come_in_are_no_holes_for_others", .needs_file = DEMAND_ONLY,
	  .stage = { save_with_gap, fill_what_waits } },
	{ "huge_folios_come_in_when_they_are_touched", .needs_file = DEMAND_ONLY,
	  .stage = { save_thp, check_thp } },
	{ "pages_come_in_meanwhile", .needs_file = DEMAND_ONLY,
	  .stage = { save_whole, wait_for_it } },
	{ "pages_that_did_not_come_in_are_free_with_the_file", .needs_file = DEMAND_ONLY,
	  .stage = { save_frames, close_it } },
	{ "pages_that_did_not_come_in_are_free_after_the_next_jump", .needs_file = DEMAND_ONLY,
	  .stage = { save_with_another, leave_it, check_memory } },
	{ "pages_that_did_not_come_in_are_handed_on", .needs_file = DEMAND_ONLY,
	  .stage = { save_frames, hand_on_what_waits, check_what_was_handed_on } },
	{ "pages_that_were_handed_on_come_in_at_once", .needs_file = DEMAND_ONLY,
	  .stage = { save_frames, hand_on_what_waits, check_at_once } },
	{ "pages_wait_in_a_session_that_is_handed_on", .needs_file = DEMAND_ONLY,
	  .stage = { save_whole, leave_it_unfinished, check_unfinished } },
	{ "many_threads_touch_pages_that_come_in", .needs_file = DEMAND_ONLY,
	  .stage = { save_whole, many_touch_it } },
	{}
};
