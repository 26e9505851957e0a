// SPDX-License-Identifier: GPL-2.0
/*
 * Memfds on huge pages, and the pools of each kernel.
 */

#include <sys/mount.h>
#include <sys/wait.h>

#include "kexec_scenarios.h"
#include "luo_huge.h"
#include "luo_uffd.h"

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

/* ---- pages that come in after the file ---- */

#define DEMAND		"/sys/module/hugetlb_luo_demand/parameters/"
#define DEMAND_ONLY	DEMAND "only"
#define DEMAND_MIN	DEMAND "min_mb"
#define HUGE_KB		(HUGE / 1024)
#define FREE_VMEMMAP	"/proc/sys/vm/hugetlb_optimize_vmemmap"

/* Of a file that is small, and nothing that nobody asks for. */
static int retrieve_by_need(int session, const char *free_vmemmap)
{
	char was[16];
	bool frees = !luo_read_line(FREE_VMEMMAP, was, sizeof(was));
	int fd;

	CHECK_OK(luo_write(DEMAND_MIN, "1"));
	CHECK_OK(luo_write(DEMAND_ONLY, "1"));
	if (frees)
		CHECK_OK(luo_write(FREE_VMEMMAP, free_vmemmap));
	fd = luo_retrieve_fd(session, TOKEN);
	if (frees)
		CHECK_OK(luo_write(FREE_VMEMMAP, was));
	CHECK_OK(luo_write(DEMAND_ONLY, "0"));
	CHECK_OK(luo_write(DEMAND_MIN, "64"));
	CHECK_FD(fd);
	return fd;
}

static int retrieve_on_demand(int session)
{
	int fd = retrieve_by_need(session, "0");

	CHECK_EQ(PAGES * HUGE_KB, luo_waiting_kb(fd));
	return fd;
}

static void retrieve_at_once(const struct scenario *s)
{
	int session = incoming(s), fd;

	CHECK_FD(session);
	fd = retrieve_by_need(session, "1");
	if (!access(FREE_VMEMMAP, F_OK))
		CHECK_EQ(0, luo_waiting_kb(fd));
	CHECK_OK(luo_verify(fd, 0, PAGES * HUGE, SEED));
	CHECK_OK(luo_finish(session));
	close(fd);
}

static void save_on_demand(const struct scenario *s)
{
	int session = outgoing(s), total = luo_pool().total + PAGES;

	CHECK_FD(session);
	CHECK_EQ(total, luo_pool_resize(total));
	CHECK_OK(luo_preserve(session, full_memfd(PAGES), TOKEN));
}

static bool is_there(const char *map, int page)
{
	return *(const __u64 *)(map + page * HUGE) == luo_pattern(SEED, page * HUGE);
}

static void touch_in_child(const char *map, int page)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(!is_there(map, page));
	CHECK_AT_LEAST(1, child);
	CHECK_EQ(child, waitpid(child, &status, 0));
	CHECK_EQ(0, status);
}

static void copy_to(char *map, int page)
{
	static char from[HUGE];
	struct uffdio_copy copy = {
		.dst = (uintptr_t)(map + page * HUGE),
		.src = (uintptr_t)from,
		.len = HUGE,
	};
	int uffd = luo_watch(map + page * HUGE, HUGE, UFFDIO_REGISTER_MODE_MISSING, 0);

	CHECK_FD(uffd);
	CHECK_EQ(-1, ioctl(uffd, UFFDIO_COPY, &copy));
	CHECK_EQ(-EEXIST, copy.copy);
	/* It is missed by nobody. */
	CHECK(is_there(map, page));
	close(uffd);
}

/* FINISH does not wait for it, and PRESERVE_FD does. */
static void touch_and_hand_on(const struct scenario *s)
{
	struct luo_pool before = luo_pool();
	int session = incoming(s), next = outgoing(s), fd;
	char *map;

	CHECK_FD(session);
	CHECK_FD(next);
	fd = retrieve_on_demand(session);
	CHECK_OK(luo_finish(session));
	map = luo_huge_map(fd, PAGES);
	CHECK(map);
	CHECK_EQ(PAGES * HUGE_KB, luo_waiting_kb(fd));
	CHECK(is_there(map, 3));
	CHECK_EQ((PAGES - 1) * HUGE_KB, luo_waiting_kb(fd));
	touch_in_child(map, 4);
	CHECK_EQ((PAGES - 2) * HUGE_KB, luo_waiting_kb(fd));
	copy_to(map, 5);
	CHECK_OK(luo_verify(fd, 6 * HUGE, 1, SEED));
	CHECK_EQ(4 * HUGE_KB, luo_waiting_kb(fd));
	check_pool(before.total, before.free, before.reserved, before.surplus);
	CHECK_OK(luo_preserve(next, fd, TOKEN));
	CHECK_EQ(0, luo_waiting_kb(fd));
	CHECK_OK(munmap(map, PAGES * HUGE));
	check_pool(before.total, before.free, before.reserved, before.surplus);
}

/* Meanwhile. */
static void wait_for_it(const struct scenario *s)
{
	struct luo_pool before = luo_pool();
	int session = incoming(s), fd;

	CHECK_FD(session);
	CHECK_OK(luo_write(DEMAND_MIN, "1"));
	fd = luo_retrieve_fd(session, TOKEN);
	CHECK_OK(luo_write(DEMAND_MIN, "64"));
	CHECK_FD(fd);
	wait_until_whole(fd);
	CHECK_OK(luo_verify(fd, 0, PAGES * HUGE, SEED));
	check_pool(before.total, before.free, before.reserved, before.surplus);
	CHECK_OK(luo_finish(session));
	close(fd);
	check_pool(before.total - PAGES, before.free, before.reserved,
		   before.surplus - PAGES);
}

/* Where the file is, in a file of its own, which is not on huge pages. */
static void save_frames(int session, int fd)
{
	static __u64 frames[PAGES];
	int list = luo_memfd(sizeof(frames)), i;
	char *map = luo_huge_map(fd, PAGES);

	CHECK_FD(list);
	CHECK(map);
	for (i = 0; i < PAGES; i++) {
		CHECK(is_there(map, i));
		CHECK_OK(luo_frames(map + i * HUGE, 1, &frames[i]));
	}
	CHECK_OK(munmap(map, PAGES * HUGE));
	CHECK_EQ(sizeof(frames), pwrite(list, frames, sizeof(frames), 0));
	CHECK_OK(luo_preserve(session, list, TOKEN + 1));
}

static void save_frames_of_file(const struct scenario *s)
{
	int session = outgoing(s), total = luo_pool().total + PAGES, fd;

	CHECK_FD(session);
	CHECK_EQ(total, luo_pool_resize(total));
	fd = full_memfd(PAGES);
	CHECK_OK(luo_preserve(session, fd, TOKEN));
	save_frames(session, fd);
}

#define ANOTHER	"huge: another"

/* While that waits, what nobody has restored is handed on, too. */
static void save_with_another(const struct scenario *s)
{
	save_another(ANOTHER);
	save_frames_of_file(s);
}

/* The jump comes while pages of it wait, and what it has is preserved no more. */
static void leave_it(const struct scenario *s)
{
	int session = incoming(s), next = outgoing(s), fd, list;

	CHECK_FD(session);
	CHECK_FD(next);
	fd = retrieve_on_demand(session);
	CHECK_OK(luo_verify(fd, HUGE, 1, SEED));
	list = luo_retrieve_fd(session, TOKEN + 1);
	CHECK_FD(list);
	CHECK_OK(luo_finish(session));
	CHECK_EQ(PAGES - 1, count_reserved(list, PAGES));
	CHECK_OK(luo_preserve(next, list, TOKEN + 1));
}

static void check_memory(const struct scenario *s)
{
	check_nothing_reserved(s, ANOTHER, TOKEN + 1, PAGES);
}

static void close_it(const struct scenario *s)
{
	struct luo_pool before = luo_pool();
	int session = incoming(s), fd, list;

	CHECK_FD(session);
	fd = retrieve_on_demand(session);
	list = luo_retrieve_fd(session, TOKEN + 1);
	CHECK_FD(list);
	CHECK_OK(luo_verify(fd, HUGE, 1, SEED));
	CHECK_OK(luo_finish(session));
	CHECK_EQ(PAGES - 1, count_reserved(list, PAGES));
	close(fd);
	CHECK_EQ(0, count_reserved(list, PAGES));
	CHECK_AT_LEAST(luo_pool().total, before.total);
}

/* ---- who pays for pages that wait ---- */

#define HUGE_USED(_group)	luo_read_number(_group "/hugetlb.2MB.current")

static void retrieve_in_cgroup(int session)
{
	int fd;

	CHECK_OK(mkdir("outer", 0755));
	CHECK_OK(luo_write("outer/cgroup.subtree_control", "+hugetlb"));
	CHECK_OK(mkdir("outer/inner", 0755));
	CHECK_OK(luo_write("outer/inner/cgroup.procs", "0"));
	fd = retrieve_on_demand(session);
	CHECK_EQ(PAGES * HUGE, HUGE_USED("outer/inner"));
	CHECK_OK(luo_verify(fd, HUGE, 1, SEED));
	CHECK_OK(luo_write("cgroup.procs", "0"));
	CHECK_OK(rmdir("outer/inner"));
	/* Whoever waits for the charge to go has the lock that this needs. */
	usleep(100000);
	CHECK_OK(mkdir("other", 0755));
	CHECK_OK(rmdir("other"));
	CHECK_EQ((PAGES - 1) * HUGE_KB, luo_waiting_kb(fd));
	CHECK_EQ(PAGES * HUGE, HUGE_USED("outer"));
	CHECK_OK(luo_verify(fd, 0, 4 * HUGE, SEED));
	CHECK_EQ(PAGES * HUGE, HUGE_USED("outer"));
	CHECK_OK(luo_finish(session));
	close(fd);
	CHECK_EQ(0, HUGE_USED("outer"));
	CHECK_OK(rmdir("outer"));
}

/* Who pays may go, also while nobody takes in what he paid for. */
static void leave_cgroup(const struct scenario *s)
{
	int session = incoming(s);
	char dir[32];

	CHECK_FD(session);
	CHECK_OK(mount_cgroup(dir));
	CHECK_OK(chdir(dir));
	if (luo_write("cgroup.subtree_control", "+hugetlb"))
		CHECK_OK(luo_finish(session));
	else
		retrieve_in_cgroup(session);
	CHECK_OK(chdir("/"));
	CHECK_OK(umount(dir));
}

const struct scenario huge_scenarios[] = {
	{ "huge_pages_with_holes_and_reservations", .needs_file = HUGE_POOL,
	  .stage = { save_huge, hand_huge_on, end_huge } },
	{ "huge_pages_are_free_if_nobody_wants_them", .needs_file = HUGE_POOL,
	  .stage = { save_full, finish_unseen } },
	{ "huge_pages_come_in_when_they_are_touched", .needs_file = DEMAND_ONLY,
	  .stage = { save_on_demand, touch_and_hand_on, wait_for_it } },
	{ "huge_pages_that_did_not_come_in_are_free_after_the_next_jump",
	  .needs_file = DEMAND_ONLY,
	  .stage = { save_with_another, leave_it, check_memory } },
	{ "huge_pages_that_did_not_come_in_are_free_with_the_file",
	  .needs_file = DEMAND_ONLY, .stage = { save_frames_of_file, close_it } },
	{ "huge_pages_come_in_at_once_where_their_vmemmap_is_freed",
	  .needs_file = DEMAND_ONLY, .stage = { save_on_demand, retrieve_at_once } },
	{ "huge_pages_that_wait_outlive_the_cgroup_that_pays", .needs_file = DEMAND_ONLY,
	  .stage = { save_on_demand, leave_cgroup } },
	{ "huge_pages_that_wait_for_two_updates", .needs_file = HUGE_POOL,
	  .stage = { save_full, NULL, check_full } },
	{}
};
