// SPDX-License-Identifier: GPL-2.0
/*
 * Memfds on huge pages, and the pools of each kernel.
 */

#include "kexec_scenarios.h"
#include "luo_huge.h"

#define TOKEN	3
#define PAGES	8
#define SEED	9
#define POOL	12

static void check_pool(long long total, long long free, long long reserved,
		       long long surplus)
{
	struct luo_pool pool = luo_pool();

	CHECK_EQ(total, pool.total);
	CHECK_EQ(free, pool.free);
	CHECK_EQ(reserved, pool.reserved);
	CHECK_EQ(surplus, pool.surplus);
}

/* ---- the way of a file ---- */

static bool written(int page)
{
	return page < 2 || page == 3 || page == 5 || page == 7;
}

#define WRITTEN	5

static void check_file(int fd)
{
	char *zero = calloc(1, HUGE), *page = malloc(HUGE);
	struct stat stat;
	int i;

	CHECK(zero && page);
	CHECK_EQ(PAGES * HUGE, luo_size(fd));
	CHECK_EQ(12345, lseek(fd, 0, SEEK_CUR));
	CHECK_EQ(F_SEAL_GROW | F_SEAL_SHRINK, fcntl(fd, F_GET_SEALS));
	CHECK_OK(fstat(fd, &stat));
	CHECK_EQ(WRITTEN * HUGE / 512, stat.st_blocks);
	for (i = 0; i < PAGES; i++) {
		if (written(i)) {
			CHECK_OK(luo_verify(fd, i * HUGE, HUGE, SEED));
			continue;
		}
		CHECK_EQ(HUGE, pread(fd, page, HUGE, i * HUGE));
		CHECK_EQ(0, memcmp(page, zero, HUGE));
	}
	free(zero);
	free(page);
}

/* Half of it is written before it is preserved, and what it lacks is reserved. */
static void save_huge(const struct scenario *s)
{
	int session = outgoing(s), fd, i;
	char *map;

	CHECK_FD(session);
	CHECK_EQ(POOL, luo_pool_resize(POOL));
	fd = luo_huge_memfd(PAGES);
	CHECK_FD(fd);
	map = luo_huge_map(fd, PAGES);
	CHECK(map);
	for (i = 0; i < 2; i++)
		luo_huge_fill(map, i, SEED);
	CHECK_EQ(12345, lseek(fd, 12345, SEEK_SET));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
	CHECK_OK(luo_preserve(session, fd, TOKEN));
	for (; i < PAGES; i++) {
		if (written(i))
			luo_huge_fill(map, i, SEED);
	}
	check_pool(POOL, POOL - WRITTEN, PAGES - WRITTEN, 0);
}

/* Pages that wait, for this file and others, are pages of the pool. */
static void hand_huge_on(const struct scenario *s)
{
	int session = incoming(s), next = outgoing(s), fd;
	long long total = luo_pool().total + PAGES - WRITTEN;

	CHECK_FD(session);
	CHECK_FD(next);
	check_pool(total - PAGES + WRITTEN, 0, 0, total - PAGES + WRITTEN);
	CHECK_EQ(total, luo_pool_resize(total));
	check_pool(total, PAGES - WRITTEN, 0, 0);
	fd = luo_retrieve_fd(session, TOKEN);
	CHECK_FD(fd);
	check_pool(total, PAGES - WRITTEN, PAGES - WRITTEN, 0);
	check_file(fd);
	CHECK_OK(luo_finish(session));
	CHECK_OK(luo_preserve(next, fd, TOKEN));
	check_pool(total, PAGES - WRITTEN, PAGES - WRITTEN, 0);
}

/* There is nothing to fill holes with until somebody asks for a larger pool. */
static void end_huge(const struct scenario *s)
{
	int session = incoming(s), fd;
	long long waiting = luo_pool().total;
	long long total = waiting + PAGES - WRITTEN;

	CHECK_FD(session);
	CHECK_AT_LEAST(WRITTEN, waiting);
	CHECK_EQ(-ENOMEM, luo_retrieve_fd(session, TOKEN));
	CHECK_EQ(-EBUSY, luo_finish(session));
	check_pool(waiting, 0, 0, waiting);
	CHECK_EQ(total, luo_pool_resize(total));
	fd = luo_retrieve_fd(session, TOKEN);
	CHECK_FD(fd);
	check_pool(total, PAGES - WRITTEN, PAGES - WRITTEN, 0);
	check_file(fd);
	CHECK_OK(luo_finish(session));
	close(fd);
	check_pool(total, PAGES, 0, 0);
	CHECK_EQ(waiting - WRITTEN, luo_pool_resize(0));
}

/* ---- nobody asks for it ---- */

static int full_memfd(int pages)
{
	int fd = luo_huge_memfd(pages), i;
	char *map;

	if (fd < 0)
		return fd;
	map = luo_huge_map(fd, pages);
	for (i = 0; map && i < pages; i++)
		luo_huge_fill(map, i, SEED);
	return map && !munmap(map, pages * HUGE) ? fd : -ENOMEM;
}

static void save_full(const struct scenario *s)
{
	int session = outgoing(s), total = luo_pool().total + PAGES, fd;

	CHECK_FD(session);
	CHECK_EQ(total, luo_pool_resize(total));
	fd = full_memfd(PAGES);
	CHECK_OK(luo_preserve(session, fd, TOKEN));
	CHECK_OK(luo_unpreserve(session, TOKEN));
	CHECK_OK(luo_preserve(session, fd, TOKEN));
	/* The pool is not to take these for huge pages. */
	CHECK_OK(luo_preserve(session, luo_thp_memfd(PAGES * HUGE, SEED), TOKEN + 1));
}

static void finish_unseen(const struct scenario *s)
{
	struct luo_pool before = luo_pool();
	int session = incoming(s);
	long long free;

	CHECK_FD(session);
	/* All that wait are asked for from now on, so none goes. */
	CHECK_EQ(before.total, luo_pool_resize(before.total));
	free = luo_free_memory();
	CHECK_OK(luo_finish(session));
	check_pool(before.total, before.free + PAGES, before.reserved, 0);
	CHECK_EQ(before.total - PAGES, luo_pool_resize(before.total - PAGES));
	/* Others allocate, too, but hardly that much. */
	CHECK_AT_LEAST(free + PAGES * HUGE / 2, luo_free_memory());
}

/* Two kernels later. Nobody asked for a pool, and nobody else waits. */
static void check_full(const struct scenario *s)
{
	struct luo_pool before = luo_pool();
	int session = incoming(s), fd;

	CHECK_FD(session);
	CHECK_EQ(PAGES, before.total);
	fd = luo_retrieve_fd(session, TOKEN);
	CHECK_FD(fd);
	check_pool(before.total, before.free, before.reserved, before.surplus);
	CHECK_OK(luo_verify(fd, 0, PAGES * HUGE, SEED));
	CHECK_OK(luo_finish(session));
	close(fd);
	check_pool(before.total - PAGES, before.free, before.reserved,
		   before.surplus - PAGES);
}

const struct scenario huge_scenarios[] = {
	{ "huge_pages_with_holes_and_reservations", .needs_file = HUGE_POOL,
	  .stage = { save_huge, hand_huge_on, end_huge } },
	{ "huge_pages_are_free_if_nobody_wants_them", .needs_file = HUGE_POOL,
	  .stage = { save_full, finish_unseen } },
	{ "huge_pages_that_wait_for_two_updates", .needs_file = HUGE_POOL,
	  .stage = { save_full, NULL, check_full } },
	{}
};
