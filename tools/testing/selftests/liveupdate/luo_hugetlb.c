// SPDX-License-Identifier: GPL-2.0
/*
 * Memfds on huge pages in sessions: what can and can't be done with one while
 * it is preserved, and that the pool does not notice.
 */

#include "../kselftest_harness.h"
#include "luo_huge.h"

#define PAGES	4
#define SEED	7

FIXTURE(huge)
{
	int dev;
	int session;
	int fd;
	char *map;
};

/* Huge pages 0 and 2 are written, the others are reserved holes. */
FIXTURE_SETUP(huge)
{
	self->dev = luo_open();
	if (self->dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, self->dev);
	if (luo_pool_resize(2 * PAGES) != 2 * PAGES)
		SKIP(return, "no pool of huge pages of 2 MiB");
	self->session = luo_create(self->dev, "huge");
	ASSERT_LE(0, self->session);
	self->fd = luo_huge_memfd(PAGES);
	ASSERT_LE(0, self->fd);
	self->map = luo_huge_map(self->fd, PAGES);
	ASSERT_NE(NULL, self->map);
	luo_huge_fill(self->map, 0, SEED);
	luo_huge_fill(self->map, 2, SEED);
}

FIXTURE_TEARDOWN(huge)
{
}

static int same_pool(struct luo_pool a, struct luo_pool b)
{
	return a.total == b.total && a.free == b.free &&
	       a.reserved == b.reserved && a.surplus == b.surplus;
}

TEST_F(huge, pool_does_not_change)
{
	struct luo_pool before = luo_pool();
	int i;

	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
		EXPECT_TRUE(same_pool(before, luo_pool()));
		ASSERT_EQ(0, luo_unpreserve(self->session, 1));
		EXPECT_TRUE(same_pool(before, luo_pool()));
	}
	EXPECT_EQ(0, luo_verify(self->fd, 0, HUGE, SEED));
	EXPECT_EQ(0, luo_verify(self->fd, 2 * HUGE, HUGE, SEED));
}

TEST_F(huge, pool_is_whole_when_all_is_closed)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	munmap(self->map, PAGES * HUGE);
	close(self->fd);
	EXPECT_EQ(2 * PAGES - 2, luo_pool().free);
	close(self->session);
	EXPECT_EQ(2 * PAGES, luo_pool().free);
	EXPECT_EQ(0, luo_pool().reserved);
	EXPECT_EQ(0, luo_pool().surplus);
}

TEST_F(huge, size_is_kept_while_preserved)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-1, ftruncate(self->fd, HUGE));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 2 * PAGES * HUGE));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, ftruncate(self->fd, PAGES * HUGE));
	EXPECT_EQ(-1, fallocate(self->fd, 0, PAGES * HUGE, HUGE));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(NULL, luo_huge_map(self->fd, PAGES + 1));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(PAGES * HUGE, luo_size(self->fd));

	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, ftruncate(self->fd, HUGE));
}

TEST_F(huge, content_is_kept_while_preserved)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-1, fallocate(self->fd, punch, 0, HUGE));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, luo_verify(self->fd, 0, HUGE, SEED));

	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, fallocate(self->fd, punch, 0, HUGE));
	EXPECT_NE(0, luo_verify(self->fd, 0, HUGE, SEED));
}

TEST_F(huge, seals_are_kept_while_preserved)
{
	ASSERT_EQ(0, fcntl(self->fd, F_ADD_SEALS, F_SEAL_GROW));
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-1, fcntl(self->fd, F_ADD_SEALS, F_SEAL_SHRINK));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(F_SEAL_GROW, fcntl(self->fd, F_GET_SEALS));
	/* What a seal forbids is refused as ever. */
	EXPECT_EQ(-1, ftruncate(self->fd, 2 * PAGES * HUGE));
	EXPECT_EQ(EPERM, errno);

	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, fcntl(self->fd, F_ADD_SEALS, F_SEAL_SHRINK));
}

TEST_F(huge, holes_can_be_filled_while_preserved)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	luo_huge_fill(self->map, 1, SEED);
	EXPECT_EQ(0, fallocate(self->fd, 0, 3 * HUGE, HUGE));
	EXPECT_EQ(0, luo_verify(self->fd, 0, 3 * HUGE, SEED));
	EXPECT_EQ(PAGES, luo_pool().free);
	EXPECT_EQ(0, luo_pool().reserved);
	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
}

TEST_F(huge, file_is_preserved_once)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-EBUSY, luo_preserve(self->session, luo_reopen(self->fd, O_RDWR), 2));
	EXPECT_EQ(-EACCES, luo_preserve(self->session, luo_reopen(luo_huge_memfd(1), O_RDONLY), 2));
}

/* ---- pages of 1 GiB, of which small machines have none ---- */

FIXTURE(gib)
{
	int session;
	int fd;
	char *map;
	struct luo_pool before;
};

/* The first page is written, the second a reserved hole. */
FIXTURE_SETUP(gib)
{
	int dev = luo_open();

	if (dev == -ENOENT)
		SKIP(return, "no " LUO_DEVICE);
	ASSERT_LE(0, dev);
	self->before = luo_pool_at(GIB_POOL);
	if (self->before.free < 2)
		SKIP(return, "no pool of huge pages of 1 GiB");
	self->session = luo_create(dev, "gib");
	ASSERT_LE(0, self->session);
	self->fd = luo_memfd_flags("gib", 2 * GIB, MFD_CLOEXEC | LUO_MFD_1GB);
	ASSERT_LE(0, self->fd);
	self->map = mmap(NULL, 2 * GIB, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	self->map[GIB - 1] = SEED;
}

FIXTURE_TEARDOWN(gib)
{
}

/* Each page is cleared. */
TEST_F_TIMEOUT(gib, size_and_content_are_kept_while_preserved, 300)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(-1, ftruncate(self->fd, GIB));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 3 * GIB));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-1, fallocate(self->fd, punch, 0, GIB));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(SEED, self->map[GIB - 1]);

	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	EXPECT_EQ(0, fallocate(self->fd, punch, 0, GIB));
	EXPECT_EQ(0, self->map[GIB - 1]);
	EXPECT_EQ(0, ftruncate(self->fd, GIB));
}

TEST_F_TIMEOUT(gib, pool_is_whole_when_all_is_closed, 300)
{
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(self->before.free - 1, luo_pool_at(GIB_POOL).free);
	EXPECT_EQ(self->before.reserved + 1, luo_pool_at(GIB_POOL).reserved);
	/* The hole. */
	self->map[GIB] = SEED;
	EXPECT_EQ(self->before.free - 2, luo_pool_at(GIB_POOL).free);
	ASSERT_EQ(0, luo_unpreserve(self->session, 1));
	ASSERT_EQ(0, luo_preserve(self->session, self->fd, 1));
	EXPECT_EQ(SEED, self->map[GIB]);

	munmap(self->map, 2 * GIB);
	close(self->fd);
	EXPECT_EQ(self->before.free - 2, luo_pool_at(GIB_POOL).free);
	close(self->session);
	EXPECT_TRUE(same_pool(self->before, luo_pool_at(GIB_POOL)));
}

TEST_HARNESS_MAIN
