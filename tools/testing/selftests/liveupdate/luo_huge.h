/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memfds on huge pages, and their pools.
 */
#ifndef LUO_HUGE_H
#define LUO_HUGE_H

#include "luo_test.h"

#define HUGE		(2ll << 20)
#define GIB		(1ll << 30)
/* The C library may lack names for these; the bits are those of mmap(). */
#define LUO_MFD_2MB	(MFD_HUGETLB | 21u << MAP_HUGE_SHIFT)
#define LUO_MFD_1GB	(MFD_HUGETLB | 30u << MAP_HUGE_SHIFT)

#define HUGE_POOL	"/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define GIB_POOL	"/sys/kernel/mm/hugepages/hugepages-1048576kB/"

struct luo_pool {
	long long total, free, reserved, surplus;
};

static inline long long luo_pool_number(const char *pool, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "%s%s", pool, name);
	return luo_read_number(path);
}

static inline struct luo_pool luo_pool_at(const char *pool)
{
	return (struct luo_pool) {
		.total = luo_pool_number(pool, "nr_hugepages"),
		.free = luo_pool_number(pool, "free_hugepages"),
		.reserved = luo_pool_number(pool, "resv_hugepages"),
		.surplus = luo_pool_number(pool, "surplus_hugepages"),
	};
}

static inline struct luo_pool luo_pool(void)
{
	return luo_pool_at(HUGE_POOL);
}

/* Returns what came of it: -ENOENT if there are no huge pages of that size. */
static inline long long luo_pool_resize_at(const char *pool, int pages)
{
	char text[16], path[96];
	int err;

	snprintf(text, sizeof(text), "%d", pages);
	snprintf(path, sizeof(path), "%snr_hugepages", pool);
	err = luo_write(path, text);
	return err ?: luo_read_number(path);
}

static inline long long luo_pool_resize(int pages)
{
	return luo_pool_resize_at(HUGE_POOL, pages);
}

static inline int luo_huge_memfd(int pages)
{
	return luo_memfd_flags("huge", pages * HUGE,
			       MFD_CLOEXEC | MFD_ALLOW_SEALING | LUO_MFD_2MB);
}

/* Maps the file and by that reserves what it lacks. */
static inline void *luo_huge_map(int fd, int pages)
{
	void *map = mmap(NULL, pages * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

static inline void luo_huge_fill(void *map, int page, __u64 seed)
{
	luo_pattern_bytes(seed, page * HUGE, (char *)map + page * HUGE, HUGE);
}

#endif /* LUO_HUGE_H */
