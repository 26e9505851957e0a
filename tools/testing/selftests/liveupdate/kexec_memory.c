// SPDX-License-Identifier: GPL-2.0
/*
 * Memory in every condition: huge folios, swapped out, under pressure, written
 * up to the jump.
 */

#include <assert.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/swap.h>
#include <sys/wait.h>

#include "kexec_scenarios.h"

static long long memory_available(void)
{
	char line[128];
	long long kib = -1;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "MemAvailable: %lld kB", &kib);
	if (f)
		fclose(f);
	return kib << 10;
}

int mount_cgroup(char dir[32])
{
	snprintf(dir, 32, "/tmp/luo_cgroup_XXXXXX");
	return !mkdtemp(dir) || mount("none", dir, "cgroup2", 0, NULL) ? -errno : 0;
}

static void *map_shared(int fd, size_t len)
{
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

/* ---- huge folios ---- */

#define HUGE_FILE	(16 * MIB)

/* Pages of the file that are the first of a compound, or -1. */
static int count_heads(int fd, int *tails)
{
	static __u64 frames[HUGE_FILE / 4096];
	const size_t pages = HUGE_FILE / 4096;
	char *map = map_shared(fd, HUGE_FILE);
	int heads = 0;
	size_t i;

	*tails = 0;
	if (!map || madvise(map, HUGE_FILE, MADV_POPULATE_READ) ||
	    luo_frames(map, pages, frames) || luo_page_flags(frames, pages, frames))
		heads = -1;
	for (i = 0; i < pages && heads >= 0; i++) {
		heads += frames[i] >> KPF_COMPOUND_HEAD & 1;
		*tails += frames[i] >> KPF_COMPOUND_TAIL & 1;
	}
	munmap(map, HUGE_FILE);
	return heads;
}

static void check_folios(int fd, long long size)
{
	int tails;

	CHECK_AT_LEAST(8192, size);
	CHECK_EQ(HUGE_FILE / size, count_heads(fd, &tails));
	CHECK_EQ(HUGE_FILE / 4096 - HUGE_FILE / size, tails);
}

static void check_heads(int fd)
{
	check_folios(fd, luo_read_number(LUO_THP "hpage_pmd_size"));
}

static void check_huge(int fd)
{
	CHECK_EQ(HUGE_FILE, luo_size(fd));
	check_heads(fd);
	CHECK_OK(luo_verify(fd, 0, HUGE_FILE, 1));
}

static void save_huge(const struct scenario *s)
{
	int session = outgoing(s), fd;

	CHECK_FD(session);
	fd = luo_thp_memfd(HUGE_FILE, 1);
	CHECK_FD(fd);
	check_heads(fd);
	CHECK_OK(luo_preserve(session, fd, 1));
}

static void hand_huge_on(const struct scenario *s)
{
	int session = incoming(s), next = outgoing(s), fd;

	CHECK_FD(session);
	CHECK_FD(next);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	check_huge(fd);
	CHECK_OK(luo_finish(session));
	CHECK_OK(luo_preserve(next, fd, 1));
}

/* At the end a huge folio must come apart as any other does. */
static void split_huge(const struct scenario *s)
{
	int session = incoming(s), fd;

	CHECK_FD(session);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	check_huge(fd);
	CHECK_OK(luo_finish(session));
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB, 4096));
	CHECK_OK(luo_verify(fd, 0, MIB, 1));
	CHECK_OK(luo_verify(fd, MIB + 4096, HUGE_FILE - MIB - 4096, 1));
	CHECK_OK(ftruncate(fd, 12345));
	CHECK_OK(luo_verify(fd, 0, 12345, 1));
}

/* Of sizes between a page and a huge page there are folios where files are mapped. */
#define SHMEM_64K	LUO_THP "hugepages-64kB/shmem_enabled"

/* Addresses have to be as far into a folio as the file is. */
static char *map_aligned(int fd, size_t align)
{
	char *room = mmap(NULL, HUGE_FILE + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(room != MAP_FAILED);
	room += -(uintptr_t)room % align;
	return mmap(room, HUGE_FILE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
}

static void save_64k(const struct scenario *s)
{
	int session = outgoing(s), fd = luo_memfd(HUGE_FILE);
	char *map = map_aligned(fd, 65536);

	CHECK_FD(session);
	CHECK(map != MAP_FAILED);
	CHECK_OK(luo_write(SHMEM_64K, "always"));
	luo_pattern_bytes(1, 0, map, HUGE_FILE);
	CHECK_OK(luo_write(SHMEM_64K, "never"));
	munmap(map, HUGE_FILE);
	check_folios(fd, 65536);
	CHECK_OK(luo_preserve(session, fd, 1));
}

static void check_64k(const struct scenario *s)
{
	int session = incoming(s), fd;

	CHECK_FD(session);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_OK(luo_verify(fd, 0, HUGE_FILE, 1));
	check_folios(fd, 65536);
	CHECK_OK(luo_finish(session));
}

/* ---- swap ---- */

#define SWAP_SIZE	(128 * MIB)
#define SWAPPED_FILE	(16 * MIB)

/* A loop device over a file that is itself never swapped out. */
static int make_swap_device(char path[32])
{
	char dir[] = "/tmp/luo_swap_XXXXXX", file[64];
	int backing, control, loop, n;

	if (!mkdtemp(dir) || mount("none", dir, "ramfs", 0, NULL))
		return -errno;
	snprintf(file, sizeof(file), "%s/swap", dir);
	backing = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (backing < 0 || ftruncate(backing, SWAP_SIZE))
		return -errno;
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	n = ioctl(control, LOOP_CTL_GET_FREE);
	if (n < 0)
		return -errno;
	snprintf(path, 32, "/dev/loop%d", n);
	loop = open(path, O_RDWR | O_CLOEXEC);
	if (loop < 0 || ioctl(loop, LOOP_SET_FD, backing))
		return -errno;
	return loop;
}

static int start_swapping(void)
{
	struct {
		char boot[1024];
		__u32 version, last_page;
		char rest[4096 - 1024 - 8 - 10];
		char magic[10];
	} header = { .version = 1, .last_page = SWAP_SIZE / 4096 - 1 };
	char path[32];
	int loop;

	static_assert(sizeof(header) == 4096, "swap header is a page");
	loop = make_swap_device(path);
	if (loop < 0)
		return loop;
	memcpy(header.magic, "SWAPSPACE2", sizeof(header.magic));
	if (pwrite(loop, &header, sizeof(header), 0) != sizeof(header) || fsync(loop))
		return -errno;
	return swapon(path, 0) ? -errno : 0;
}

static int swap_out_once(void *map, size_t len)
{
	char dir[32], path[64];

	/* What is not mapped would be left alone. */
	if (madvise(map, len, MADV_POPULATE_READ) || madvise(map, len, MADV_PAGEOUT))
		return -errno;
	/* What has been written to swap is still there until it is reclaimed. */
	usleep(200000);
	if (mount_cgroup(dir))
		return -ENODEV;
	snprintf(path, sizeof(path), "%s/memory.reclaim", dir);
	luo_write(path, "64M");
	return umount(dir) ? -errno : 0;
}

/* Until no more than @left pages are resident; a disk may take its time. */
static int swap_out(void *map, size_t len, int left)
{
	int err, tries = 50;

	do {
		err = swap_out_once(map, len);
	} while (!err && luo_count_resident(map, len) > left && --tries);
	return err;
}

/* Between the swapped pages some that are present, and a hole. */
static void save_swapped(const struct scenario *s)
{
	int session = outgoing(s), fd = luo_memfd(SWAPPED_FILE);
	char *map;

	CHECK_FD(session);
	CHECK_OK(start_swapping());
	CHECK_OK(luo_fill(fd, 0, SWAPPED_FILE - MIB, 2));
	map = map_shared(fd, SWAPPED_FILE);
	CHECK(map);
	CHECK_OK(swap_out(map, SWAPPED_FILE - MIB, SWAPPED_FILE / 4096 / 4));
	CHECK_AT_LEAST(luo_count_resident(map, SWAPPED_FILE), SWAPPED_FILE / 4096 / 4);
	CHECK_OK(luo_verify(fd, 3 * MIB + 4096, 8192, 2));
	CHECK_OK(luo_preserve(session, fd, 1));
	CHECK_EQ((SWAPPED_FILE - MIB) / 4096, luo_count_resident(map, SWAPPED_FILE));
	/* What is preserved stays in memory. */
	CHECK_OK(swap_out(map, SWAPPED_FILE - MIB, SWAPPED_FILE / 4096));
	CHECK_EQ((SWAPPED_FILE - MIB) / 4096, luo_count_resident(map, SWAPPED_FILE));
}

static void check_swapped(const struct scenario *s)
{
	int session = incoming(s), fd;

	CHECK_FD(session);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_EQ(SWAPPED_FILE, luo_size(fd));
	CHECK_OK(luo_verify(fd, 0, SWAPPED_FILE - MIB, 2));
	CHECK_EQ(-1, lseek(fd, SWAPPED_FILE - MIB, SEEK_DATA));
	CHECK_OK(luo_finish(session));
}

/* What came over the jump can be swapped out like anything else. */
static void swap_restored_out(const struct scenario *s)
{
	int session = incoming(s), fd;
	char *map;

	CHECK_FD(session);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_OK(luo_finish(session));
	CHECK_OK(start_swapping());
	map = map_shared(fd, SWAPPED_FILE);
	CHECK(map);
	/* What comes in on demand is there once it was read. */
	CHECK_OK(luo_verify(fd, 0, SWAPPED_FILE, 3));
	CHECK_EQ(SWAPPED_FILE / 4096, luo_count_resident(map, SWAPPED_FILE));
	CHECK_OK(swap_out(map, SWAPPED_FILE, SWAPPED_FILE / 4096 / 4));
	CHECK_AT_LEAST(luo_count_resident(map, SWAPPED_FILE), SWAPPED_FILE / 4096 / 4);
	CHECK_OK(luo_verify(fd, 0, SWAPPED_FILE, 3));
}

static void save_for_swap(const struct scenario *s)
{
	int session = outgoing(s);

	CHECK_FD(session);
	CHECK_OK(luo_preserve(session, luo_filled_memfd(SWAPPED_FILE, 3), 1));
}

/* ---- pressure ---- */

#define PRESSED_FILES	32
#define PRESSED_FILE	(2 * MIB)

/* Takes nearly all memory there is, again and again; the first to be killed. */
static void press(void)
{
	luo_write("/proc/self/oom_score_adj", "1000");
	for (;;) {
		size_t len = (memory_available() / 100 * 98 + 64 * MIB) & ~4095ull;
		char *map = mmap(NULL, len, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		size_t at;

		if (map == MAP_FAILED)
			continue;
		for (at = 0; at < len; at += 4096)
			map[at] = 1;
		munmap(map, len);
	}
}

static pid_t start_press(void)
{
	pid_t pid = fork();

	if (!pid)
		press();
	return pid;
}

static int preserve_until_done(int session, int fd, __u64 token)
{
	int i, err = -ENOMEM;

	/* ENOMEM has to leave everything as it was, so that it can be tried again. */
	for (i = 0; i < 1000 && err == -ENOMEM; i++)
		err = luo_preserve(session, fd, token);
	return err;
}

static void save_under_pressure(const struct scenario *s)
{
	int session = outgoing(s), fds[PRESSED_FILES], i, err = 0;
	pid_t pid;

	CHECK_FD(session);
	for (i = 0; i < PRESSED_FILES; i++) {
		fds[i] = luo_filled_memfd(PRESSED_FILE, i);
		CHECK_FD(fds[i]);
	}
	pid = start_press();
	/* Until its first round has hurt. */
	sleep(2);
	for (i = 0; i < PRESSED_FILES && !err; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			pid = start_press();
		err = preserve_until_done(session, fds[i], i);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_OK(err);
	CHECK_EQ(PRESSED_FILES, luo_count_files(session));
}

static void check_under_pressure(const struct scenario *s)
{
	int session = incoming(s), i, fd;

	CHECK_FD(session);
	for (i = 0; i < PRESSED_FILES; i++) {
		fd = luo_retrieve_fd(session, i);
		CHECK_FD(fd);
		CHECK_OK(luo_verify(fd, 0, PRESSED_FILE, i));
		close(fd);
	}
	CHECK_OK(luo_finish(session));
}

/* ---- written up to the jump ---- */

#define RING		(1024 * 1024 / 8)
#define RING_FILE	MIB
#define HOLES		20000
#define HOLES_FILE	(HOLES * 4096ll)

/*
 * A thread goes round in the ring and says after each store how far it is;
 * another fills a page of a sparse file after the other and says so. How far
 * they were shortly before the jump is in the same page.
 */
struct progress {
	atomic_ullong ring;
	atomic_ullong holes;
	__u64 ring_at_reboot;
	__u64 holes_at_reboot;
};

static struct progress *progress;
static atomic_ullong *ring;
static char *holes;

static void *write_ring(void *arg)
{
	__u64 i;

	for (i = 1; ; i++) {
		atomic_store(&ring[i % RING], i);
		atomic_store(&progress->ring, i);
	}
	return NULL;
}

static void *fill_holes(void *arg)
{
	__u64 i;

	for (i = 1; i < HOLES; i++) {
		atomic_store((atomic_ullong *)(holes + i * 4096), i);
		atomic_store(&progress->holes, i);
		usleep(500);
	}
	return NULL;
}

static void save_written(const struct scenario *s)
{
	const size_t lens[] = { 4096, RING_FILE, HOLES_FILE };
	int session = outgoing(s), i, fd;
	pthread_t thread;
	void *maps[3];

	CHECK_FD(session);
	for (i = 0; i < 3; i++) {
		fd = luo_memfd(lens[i]);
		maps[i] = map_shared(fd, lens[i]);
		CHECK(maps[i]);
		CHECK_OK(luo_preserve(session, fd, i));
	}
	progress = maps[0];
	ring = maps[1];
	holes = maps[2];
	CHECK_OK(pthread_create(&thread, NULL, write_ring, NULL));
	CHECK_OK(pthread_create(&thread, NULL, fill_holes, NULL));
}

static void note_progress(void)
{
	if (!progress)
		return;
	progress->ring_at_reboot = atomic_load(&progress->ring);
	progress->holes_at_reboot = atomic_load(&progress->holes);
}

/* Nothing that was written before what is there may be missing. */
static void check_ring(void)
{
	__u64 i, last = atomic_load(&progress->ring);

	CHECK_AT_LEAST(progress->ring_at_reboot + 1, last);
	for (i = 0; i < RING; i++) {
		__u64 seen = atomic_load(&ring[i]);

		/* One store may be ahead of what was said. */
		if (seen == last + 1)
			continue;
		CHECK_EQ(i, seen % RING);
		if (last >= RING)
			CHECK_AT_LEAST(last - RING + 1, seen);
		CHECK_AT_LEAST(seen, last);
	}
}

static void check_holes(void)
{
	__u64 i, last = atomic_load(&progress->holes);

	CHECK_AT_LEAST(progress->holes_at_reboot, last);
	CHECK_AT_LEAST(1, last);
	for (i = 0; i < HOLES; i++) {
		__u64 seen = *(__u64 *)(holes + i * 4096);

		if (i <= last || seen)
			CHECK_EQ(i, seen);
		if (i > last + 1)
			CHECK_EQ(0, seen);
	}
}

static void check_written(const struct scenario *s)
{
	const size_t lens[] = { 4096, RING_FILE, HOLES_FILE };
	int session = incoming(s), i, fd;
	void *maps[3];

	CHECK_FD(session);
	for (i = 0; i < 3; i++) {
		fd = luo_retrieve_fd(session, i);
		CHECK_FD(fd);
		CHECK_EQ(lens[i], luo_size(fd));
		maps[i] = map_shared(fd, lens[i]);
		CHECK(maps[i]);
	}
	CHECK_OK(luo_finish(session));
	progress = maps[0];
	ring = maps[1];
	holes = maps[2];
	check_ring();
	check_holes();
}

/* ---- small gaps between preserved pages ---- */

#define GAP_PAGES	4096
#define WHOLE_FILE	(64 * MIB)
#define LAZY		"/sys/kernel/debug/kho/in/lazy_pageblocks"

/* Page frames of a file, in ascending order. */
static void read_frames(int fd, __u64 frames[GAP_PAGES])
{
	char *map = map_shared(fd, GAP_PAGES * 4096);

	CHECK(map);
	CHECK_OK(madvise(map, GAP_PAGES * 4096, MADV_POPULATE_READ));
	CHECK_OK(luo_frames(map, GAP_PAGES, frames));
	munmap(map, GAP_PAGES * 4096);
	luo_sort_frames(frames, GAP_PAGES);
}

/* Frames between two of @frames that are next to each other but for one. */
static int find_gaps(__u64 gaps[GAP_PAGES], const __u64 frames[GAP_PAGES])
{
	int i, n = 0;

	for (i = 1; i < GAP_PAGES; i++) {
		if (frames[i] == frames[i - 1] + 2)
			gaps[n++] = frames[i] - 1;
	}
	return n;
}

/* What lies between is in use until the jump, or others would preserve it. */
static void save_scattered(const struct scenario *s)
{
	int session = outgoing(s), fd = luo_memfd(GAP_PAGES * 4096), list;
	int between = luo_memfd(GAP_PAGES * 4096);
	static __u64 frames[GAP_PAGES], gaps[GAP_PAGES];
	size_t len;
	int i;

	CHECK_FD(session);
	CHECK_FD(fd);
	CHECK_FD(between);
	for (i = 0; i < GAP_PAGES; i++) {
		CHECK_EQ(8, pwrite(fd, "occupied", 8, i * 4096l));
		CHECK_EQ(8, pwrite(between, "occupied", 8, i * 4096l));
	}
	read_frames(fd, frames);
	CHECK_OK(luo_preserve(session, fd, 1));
	len = find_gaps(gaps, frames) * sizeof(*gaps);
	CHECK_AT_LEAST(64 * sizeof(*gaps), len);

	list = luo_memfd(len);
	CHECK_FD(list);
	CHECK_EQ(len, pwrite(list, gaps, len, 0));
	CHECK_OK(luo_preserve(session, list, 2));
	fd = luo_filled_memfd(WHOLE_FILE, 3);
	CHECK_FD(fd);
	CHECK_OK(luo_preserve(session, fd, 3));
}

/*
 * Pages that the kernel keeps at hand for a CPU look like those it withholds.
 * Make each CPU return them: it has to if it frees more than it may keep.
 */
static void return_pages_at_hand(void)
{
	cpu_set_t all, one;
	void *map;
	int cpu;

	CHECK_OK(luo_write("/proc/sys/vm/percpu_pagelist_high_fraction", "1000000"));
	CHECK_OK(sched_getaffinity(0, sizeof(all), &all));
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
		map = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		CHECK(map != MAP_FAILED);
		munmap(map, 8 * MIB);
	}
	CHECK_OK(sched_setaffinity(0, sizeof(all), &all));
	CHECK_OK(luo_write("/proc/sys/vm/percpu_pagelist_high_fraction", "0"));
}

/* Single pages that were freed get another owner, who clears them. */
static void use_free_pages(void)
{
	void *map = mmap(NULL, 256 * MIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	CHECK_OK(madvise(map, 256 * MIB, MADV_NOHUGEPAGE));
	CHECK_OK(madvise(map, 256 * MIB, MADV_POPULATE_WRITE));
	munmap(map, 256 * MIB);
}

/* How many page frames are neither free nor in use for anything. */
static int count_withheld(const __u64 *frames, int nr)
{
	static __u64 flags[GAP_PAGES];
	int i, withheld = 0;

	CHECK_OK(luo_page_flags(frames, nr, flags));
	for (i = 0; i < nr; i++)
		withheld += !(flags[i] & ~(1ull << KPF_RESERVED));
	return withheld;
}

static void check_gaps_are_freed(const struct scenario *s)
{
	int session = incoming(s), list, fd, nr, tries = 300;
	static __u64 gaps[GAP_PAGES];

	CHECK_FD(session);
	CHECK_AT_LEAST(1, luo_read_number(LAZY));
	list = luo_retrieve_fd(session, 2);
	CHECK_FD(list);
	nr = luo_size(list) / sizeof(*gaps);
	CHECK_EQ(nr * sizeof(*gaps), pread(list, gaps, sizeof(gaps), 0));

	do {
		usleep(100000);
		return_pages_at_hand();
	} while (count_withheld(gaps, nr) > nr / 10 && --tries);
	CHECK_AT_LEAST(1, tries);

	/* The list of the gaps is freed along with them, and nothing else. */
	use_free_pages();
	fd = luo_retrieve_fd(session, 3);
	CHECK_FD(fd);
	CHECK_OK(luo_verify(fd, 0, WHOLE_FILE, 3));
	CHECK_OK(luo_finish(session));
}

const struct scenario memory_scenarios[] = {
	{ .name = "huge folios", .stage = { save_huge, hand_huge_on, split_huge },
	  .mainline = true },
	{ .name = "folios of 64 KiB", .stage = { save_64k, check_64k },
	  .needs_file = SHMEM_64K },
	{ .name = "swapped out", .stage = { save_swapped, check_swapped } },
	{ .name = "swapped out after an update",
	  .stage = { save_for_swap, swap_restored_out } },
	{ .name = "preserved under memory pressure",
	  .stage = { save_under_pressure, check_under_pressure } },
	{ .name = "gaps between preserved pages are freed",
	  .stage = { save_scattered, check_gaps_are_freed } },
	/* Its threads keep the CPUs busy from here on. */
	{ .name = "written up to the jump", .stage = { save_written, check_written },
	  .jump = note_progress },
	{ }
};
