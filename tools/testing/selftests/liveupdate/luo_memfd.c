// SPDX-License-Identifier: GPL-2.0
/*
 * Putting memfds into sessions: tokens, files that are preserved already, and what
 * can and can't be done with a memfd while it is preserved.
 */

#include <sys/resource.h>
#include <sys/uio.h>

#include "../kselftest_harness.h"
#include "luo_test.h"

#define FILE_SIZE	(64 << 10)
#define SEED		7

/* The C library may be older than this. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

FIXTURE(preserve)
{
	int dev;
	int session;
	int fd;
};

FIXTURE_SETUP(preserve)
{
	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "preserve");
	ASSERT_LE(0, self->session);
	self->fd = luo_filled_memfd(FILE_SIZE, SEED);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(preserve)
{
}

/* ---- tokens ---- */

TEST_F(preserve, any_token_will_do)
{
	static const __u64 tokens[] = {
		0, 1, INT32_MAX, UINT32_MAX, 1ull << 32, INT64_MAX, UINT64_MAX,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tokens); i++)
		EXPECT_EQ(0, luo_preserve(self->session, luo_memfd(0), tokens[i]));
	for (i = 0; i < ARRAY_SIZE(tokens); i++)
		EXPECT_EQ(-EEXIST, luo_preserve(self->session, luo_memfd(0), tokens[i]));
	for (i = 0; i < ARRAY_SIZE(tokens); i++)
		EXPECT_EQ(0, luo_unpreserve(self->session, tokens[i]));
}

TEST_F(preserve, token_in_use_is_EEXIST_and_the_file_stays_free)
{
	int other = luo_memfd(0);

	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-EEXIST, luo_preserve(self->session, other, 1));
	EXPECT_EQ(0, ftruncate(other, 4096));
	EXPECT_EQ(0, luo_preserve(self->session, other, 2));
}

TEST_F(preserve, each_session_has_its_own_tokens)
{
	int other = luo_create(self->dev, "other");

	EXPECT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(0, luo_preserve(other, luo_memfd(0), 1));
	EXPECT_EQ(0, luo_unpreserve(other, 1));
	EXPECT_EQ(-EEXIST, luo_preserve(self->session, luo_memfd(0), 1));
}

TEST_F(preserve, unknown_token_cant_be_unpreserved)
{
	EXPECT_EQ(-ENOENT, luo_unpreserve(self->session, 1));
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-ENOENT, luo_unpreserve(self->session, 0));
	EXPECT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(-ENOENT, luo_unpreserve(self->session, 1));
}

TEST_F(preserve, token_and_file_are_free_after_unpreserve)
{
	int i;

	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
		ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	}
	EXPECT_EQ(0, luo_count_files(self->session));
	EXPECT_EQ(0, luo_verify(self->fd, 0, FILE_SIZE, SEED));
	EXPECT_EQ(0, ftruncate(self->fd, 2 * FILE_SIZE));
}

/* ---- preserved already ---- */

TEST_F(preserve, same_fd_twice_is_EBUSY)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-EBUSY, luo_preserve(self->session, self->fd, 2));
	EXPECT_EQ(1, luo_count_files(self->session));
}

TEST_F(preserve, copy_of_the_fd_is_EBUSY)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-EBUSY, luo_preserve(self->session, dup(self->fd), 2));
}

TEST_F(preserve, other_open_of_the_same_memfd_is_EBUSY)
{
	int again = luo_reopen(self->fd, O_RDWR);

	ASSERT_LE(0, again);
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-EBUSY, luo_preserve(self->session, again, 2));
	close(self->fd);
	EXPECT_EQ(-EBUSY, luo_preserve(self->session, again, 2));
	EXPECT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, luo_preserve(self->session, again, 2));
}

TEST_F(preserve, file_of_another_session_is_EBUSY_until_that_is_closed)
{
	int other = luo_create(self->dev, "other");

	ASSERT_EQ(0, luo_preserve(other, self->fd, 1));
	EXPECT_EQ(-EBUSY, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(0, luo_count_files(self->session));
	close(other);
	EXPECT_EQ(0, luo_preserve(self->session, self->fd, 1));
}

/* ---- not a file that survives ---- */

TEST_F(preserve, fd_that_is_not_open_is_EBADF)
{
	int path = luo_reopen(self->fd, O_PATH);

	EXPECT_EQ(-EBADF, luo_preserve(self->session, -1, 1));
	EXPECT_EQ(-EBADF, luo_preserve(self->session, INT32_MAX, 1));
	EXPECT_EQ(-EBADF, luo_preserve(self->session, INT32_MIN, 1));
	EXPECT_EQ(-EBADF, luo_preserve(self->session, AT_FDCWD, 1));
	ASSERT_LE(0, path);
	EXPECT_EQ(-EBADF, luo_preserve(self->session, path, 1));
	close(self->fd);
	EXPECT_EQ(-EBADF, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(0, luo_count_files(self->session));
}

/* ---- seals ---- */

TEST_F(preserve, every_combination_of_seals_is_taken_and_kept)
{
	int seals, fd;

	for (seals = 0; seals <= LUO_SEALS; seals++) {
		fd = luo_sealed_memfd(4096, seals);
		ASSERT_LE(0, fd);
		ASSERT_EQ(seals, fcntl(fd, F_GET_SEALS));
		EXPECT_EQ(0, luo_preserve(self->session, fd, seals));
		EXPECT_EQ(seals, fcntl(fd, F_GET_SEALS));
	}
}

TEST_F(preserve, seals_cant_be_added_meanwhile)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-1, fcntl(self->fd, F_ADD_SEALS, F_SEAL_GROW));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, fcntl(self->fd, F_GET_SEALS));
	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, fcntl(self->fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL));
	EXPECT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(F_SEAL_GROW | F_SEAL_SEAL, fcntl(self->fd, F_GET_SEALS));
}

/* ---- what else is refused while it is preserved ---- */

static int shrink(int fd)
{
	return ftruncate(fd, FILE_SIZE - 1);
}

static int empty(int fd)
{
	return ftruncate(fd, 0);
}

static int grow(int fd)
{
	return ftruncate(fd, FILE_SIZE + 1);
}

static int allocate_beyond(int fd)
{
	return fallocate(fd, 0, FILE_SIZE, 4096);
}

static int allocate_across(int fd)
{
	return fallocate(fd, 0, FILE_SIZE - 4096, 8192);
}

static int punch_page(int fd)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096);
}

static int punch_bytes(int fd)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 10);
}

static int punch_all(int fd)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, FILE_SIZE);
}

static int write_beyond(int fd)
{
	return pwrite(fd, "x", 1, FILE_SIZE);
}

static int write_far_beyond(int fd)
{
	return pwrite(fd, "x", 1, 1ll << 40);
}

static int append(int fd)
{
	int again = luo_reopen(fd, O_WRONLY | O_APPEND);
	int ret = write(again, "x", 1);

	close(again);
	return ret;
}

static int splice_beyond(int fd)
{
	loff_t offset = FILE_SIZE;
	int fds[2], ret;

	if (pipe(fds) || write(fds[1], "x", 1) != 1)
		return 0;
	ret = splice(fds[0], NULL, fd, &offset, 1, 0);
	close(fds[0]);
	close(fds[1]);
	return ret;
}

static int remove_mapped(int fd)
{
	void *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int ret = madvise(map, FILE_SIZE, MADV_REMOVE);

	munmap(map, FILE_SIZE);
	return ret;
}

static int truncate_on_open(int fd)
{
	int again = luo_reopen(fd, O_RDWR | O_TRUNC);

	if (again < 0) {
		errno = -again;
		return -1;
	}
	close(again);
	return 0;
}

FIXTURE(refused)
{
	int dev;
	int session;
	int fd;
};

FIXTURE_VARIANT(refused)
{
	int (*change)(int fd);
};

FIXTURE_VARIANT_ADD(refused, shrink) { shrink };

FIXTURE_VARIANT_ADD(refused, empty) { empty };

FIXTURE_VARIANT_ADD(refused, grow) { grow };

FIXTURE_VARIANT_ADD(refused, allocate_beyond) { allocate_beyond };

FIXTURE_VARIANT_ADD(refused, allocate_across) { allocate_across };

FIXTURE_VARIANT_ADD(refused, punch_page) { punch_page };

FIXTURE_VARIANT_ADD(refused, punch_bytes) { punch_bytes };

FIXTURE_VARIANT_ADD(refused, punch_all) { punch_all };

FIXTURE_VARIANT_ADD(refused, write_beyond) { write_beyond };

FIXTURE_VARIANT_ADD(refused, write_far_beyond) { write_far_beyond };

FIXTURE_VARIANT_ADD(refused, append) { append };

FIXTURE_VARIANT_ADD(refused, splice_beyond) { splice_beyond };

FIXTURE_VARIANT_ADD(refused, remove_mapped) { remove_mapped };

FIXTURE_VARIANT_ADD(refused, truncate_on_open) { truncate_on_open };

FIXTURE_SETUP(refused)
{
	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "refused");
	ASSERT_LE(0, self->session);
	self->fd = luo_filled_memfd(FILE_SIZE, SEED);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
}

FIXTURE_TEARDOWN(refused)
{
}

TEST_F(refused, while_preserved_and_changes_nothing)
{
	struct stat before, after;

	ASSERT_EQ(0, fstat(self->fd, &before));
	EXPECT_EQ(-1, variant->change(self->fd));
	EXPECT_EQ(EBUSY, errno);
	ASSERT_EQ(0, fstat(self->fd, &after));
	EXPECT_EQ(before.st_size, after.st_size);
	EXPECT_EQ(before.st_blocks, after.st_blocks);
	EXPECT_EQ(0, luo_verify(self->fd, 0, FILE_SIZE, SEED));
}

TEST_F(refused, through_another_open_of_the_file_too)
{
	int again = luo_reopen(self->fd, O_RDWR);

	ASSERT_LE(0, again);
	EXPECT_EQ(-1, variant->change(again));
	EXPECT_EQ(EBUSY, errno);
}

TEST_F(refused, is_allowed_again_after_unpreserve)
{
	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_LE(0, variant->change(self->fd));
}

TEST_F(refused, is_allowed_again_after_close_of_the_session)
{
	close(self->session);
	EXPECT_LE(0, variant->change(self->fd));
}

TEST_F(preserve, change_refused_by_a_seal_stays_EPERM)
{
	ASSERT_EQ(0, fcntl(self->fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-1, grow(self->fd));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, shrink(self->fd));
	EXPECT_EQ(EPERM, errno);
}

/* ---- what is allowed while it is preserved ---- */

TEST_F(preserve, content_may_be_written)
{
	char *map;

	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(0, luo_fill(self->fd, 0, FILE_SIZE, SEED + 1));
	EXPECT_EQ(0, luo_verify(self->fd, 0, FILE_SIZE, SEED + 1));

	map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	luo_pattern_bytes(SEED + 2, 0, map, FILE_SIZE);
	EXPECT_EQ(0, luo_verify(self->fd, 0, FILE_SIZE, SEED + 2));
}

TEST_F(preserve, mapping_made_before_may_be_written)
{
	char *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	luo_pattern_bytes(SEED + 1, 0, map, FILE_SIZE);
	EXPECT_EQ(0, luo_verify(self->fd, 0, FILE_SIZE, SEED + 1));
}

TEST_F(preserve, holes_may_be_filled)
{
	int fd = luo_memfd(1 << 20);
	char *map;

	ASSERT_EQ(0, luo_fill(fd, 0, 4096, SEED));
	ASSERT_EQ(0, luo_preserve(self->session, fd, 1));
	EXPECT_EQ(0, luo_fill(fd, 8192, 4096, SEED));
	EXPECT_EQ(0, fallocate(fd, 0, 65536, 65536));
	map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	luo_pattern_bytes(SEED, 500 << 10, map + (500 << 10), 4096);

	EXPECT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, luo_verify(fd, 0, 4096, SEED));
	EXPECT_EQ(0, luo_verify(fd, 8192, 4096, SEED));
	EXPECT_EQ(0, luo_verify(fd, 500 << 10, 4096, SEED));
	EXPECT_EQ(0, luo_preserve(self->session, fd, 1));
}

TEST_F(preserve, write_across_the_end_stops_there)
{
	char buf[8192] = {};

	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(4096, pwrite(self->fd, buf, sizeof(buf), FILE_SIZE - 4096));
	EXPECT_EQ(FILE_SIZE, luo_size(self->fd));
}

TEST_F(preserve, size_may_be_set_to_what_it_is)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(0, ftruncate(self->fd, FILE_SIZE));
	EXPECT_EQ(0, fallocate(self->fd, 0, 0, FILE_SIZE));
}

TEST_F(preserve, position_and_mode_may_change)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(1234, lseek(self->fd, 1234, SEEK_SET));
	EXPECT_EQ(0, fchmod(self->fd, 0400));
}

/* ---- shapes ---- */

static void expect_preserved(struct __test_metadata *_metadata, int session, int fd)
{
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, luo_preserve(session, fd, 99));
	EXPECT_EQ(0, luo_unpreserve(session, 99));
	close(fd);
}

TEST_F(preserve, sizes_at_the_limits)
{
	static const off_t sizes[] = {
		0, 1, 4095, 4096, 4097, 1ll << 31, 1ll << 32, (1ll << 40) + 1,
		INT64_MAX,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		expect_preserved(_metadata, self->session, luo_memfd(sizes[i]));
}

TEST_F(preserve, last_page_of_the_largest_file)
{
	int fd = luo_memfd(INT64_MAX);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, luo_fill(fd, INT64_MAX - 4096, 4096, SEED));
	expect_preserved(_metadata, self->session, dup(fd));
	EXPECT_EQ(0, luo_verify(fd, INT64_MAX - 4096, 4096, SEED));
}

TEST_F(preserve, longest_name)
{
	char name[250] = {};

	memset(name, 'n', 249);
	expect_preserved(_metadata, self->session,
			 luo_memfd_flags(name, 4096, MFD_CLOEXEC));
	expect_preserved(_metadata, self->session, luo_memfd_flags("", 0, MFD_CLOEXEC));
}

TEST_F(preserve, memory_allocated_beyond_the_size)
{
	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_KEEP_SIZE, FILE_SIZE, FILE_SIZE));
	expect_preserved(_metadata, self->session, dup(self->fd));
}

TEST_F(preserve, locked_memory)
{
	void *map = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, self->fd, 0);

	ASSERT_EQ(0, mlock(map, FILE_SIZE));
	expect_preserved(_metadata, self->session, dup(self->fd));
	ASSERT_EQ(0, munlock(map, FILE_SIZE));
}

/* First page frame of a node's ZONE_MOVABLE, or 0 if there is none. */
static __u64 movable_from(void)
{
	unsigned long long from = 0;
	bool movable = false;
	char line[256];
	FILE *f = fopen("/proc/zoneinfo", "re");

	while (f && fgets(line, sizeof(line), f) && !from) {
		if (!strncmp(line, "Node ", 5))
			movable = strstr(line, "Movable");
		else if (movable && sscanf(line, " start_pfn: %llu", &from) != 1)
			from = 0;
	}
	if (f)
		fclose(f);
	return from;
}

#define HUGE		(2ul << 20)
#define COLLAPSED	(2 * HUGE)

/* Map the file where it can have huge pages. */
static char *map_aligned(int fd)
{
	char *map = mmap(NULL, COLLAPSED + HUGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return map;
	map += -(unsigned long)map % HUGE;
	return mmap(map, COLLAPSED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
}

/* Frames of the mapping from @from on, or -errno. */
static int count_frames(char *map, __u64 from)
{
	static __u64 frames[COLLAPSED / 4096];
	int err, n = 0;
	size_t i;

	if (madvise(map, COLLAPSED, MADV_POPULATE_READ))
		return -errno;
	err = luo_frames(map, COLLAPSED / 4096, frames);
	for (i = 0; i < COLLAPSED / 4096; i++)
		n += frames[i] >= from;
	return err ?: n;
}

/* Others take memory there for movable, and rely on it. */
TEST_F(preserve, memory_is_moved_out_of_ZONE_MOVABLE)
{
	int fd = luo_filled_memfd(COLLAPSED, SEED);
	__u64 from = movable_from();
	char *map = map_aligned(fd);

	ASSERT_NE(MAP_FAILED, map);
	/* Huge pages may come from there even if those before them did not. */
	madvise(map, COLLAPSED, MADV_COLLAPSE);
	if (!from || !count_frames(map, from))
		SKIP(return, "no memory there: boot with movablecore=");
	EXPECT_EQ(0, luo_preserve(self->session, fd, 1));
	EXPECT_EQ(0, count_frames(map, from));
	EXPECT_EQ(0, luo_verify(fd, 0, COLLAPSED, SEED));
}

#define HUGE_PAGES	(COLLAPSED / HUGE)
/* Of each huge page, the others being holes. */
#define SOME_PAGES	128

static int frames_of_some(char *map, __u64 *frames)
{
	int err = 0, i;

	for (i = 0; i < HUGE_PAGES && !err; i++)
		err = luo_frames(map + i * HUGE, SOME_PAGES, frames + i * SOME_PAGES);
	return err;
}

static void fill_some(char *map)
{
	int i;

	for (i = 0; i < HUGE_PAGES; i++)
		memset(map + i * HUGE, 1, SOME_PAGES * 4096);
}

/* Else where they are now would be known to nobody. */
TEST_F(preserve, folios_that_fill_holes_are_not_made_huge)
{
	static __u64 before[HUGE_PAGES * SOME_PAGES], after[HUGE_PAGES * SOME_PAGES];
	int fd = luo_memfd(COLLAPSED), other = luo_memfd(COLLAPSED);
	char *map = map_aligned(fd), *loose = map_aligned(other);

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(MAP_FAILED, loose);
	ASSERT_EQ(0, luo_preserve(self->session, fd, 1));
	fill_some(map);
	fill_some(loose);
	ASSERT_EQ(0, frames_of_some(map, before));
	if (madvise(loose, COLLAPSED, MADV_COLLAPSE))
		SKIP(return, "no huge pages: %m");

	EXPECT_EQ(-1, madvise(map, COLLAPSED, MADV_COLLAPSE));
	EXPECT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, frames_of_some(map, after));
	EXPECT_EQ(0, memcmp(before, after, sizeof(before)));
}

#define SOME_UID	54321

TEST_F(preserve, memory_counts_against_RLIMIT_MEMLOCK)
{
	const struct rlimit limit = { FILE_SIZE, FILE_SIZE };
	int other = luo_filled_memfd(4096, SEED), holes = luo_memfd(FILE_SIZE + 1), i;

	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	EXPECT_EQ(0, luo_preserve(self->session, self->fd, 1));
	/* This user has the capability. */
	EXPECT_EQ(0, luo_preserve(self->session, other, 2));
	EXPECT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, luo_unpreserve(self->session, 2));

	ASSERT_EQ(0, setresuid(SOME_UID, SOME_UID, SOME_UID));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, luo_preserve(self->session, self->fd, 1));
		EXPECT_EQ(-ENOMEM, luo_preserve(self->session, other, 2));
		EXPECT_EQ(0, luo_unpreserve(self->session, 1));
		EXPECT_EQ(0, luo_preserve(self->session, other, 2));
		EXPECT_EQ(-ENOMEM, luo_preserve(self->session, self->fd, 1));
		EXPECT_EQ(0, luo_unpreserve(self->session, 2));
		/* Holes may be filled later. */
		EXPECT_EQ(-ENOMEM, luo_preserve(self->session, holes, 3));
	}
}

TEST_HARNESS_MAIN
