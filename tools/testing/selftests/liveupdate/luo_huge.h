/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memfds on huge pages of 2 MiB, and their pool.
 */
#ifndef LUO_HUGE_H
#define LUO_HUGE_H

#include "luo_test.h"

#define HUGE		(2ll << 20)
/* The C library may lack names for these; the bits are those of mmap(). */
#define LUO_MFD_2MB	(MFD_HUGETLB | 21u << MAP_HUGE_SHIFT)
#define LUO_MFD_1GB	(MFD_HUGETLB | 30u << MAP_HUGE_SHIFT)

#define HUGE_POOL	"/sys/kernel/mm/hugepages/hugepages-2048kB/"

struct luo_pool {
	long long total, free, reserved, surplus;
};

static inline struct luo_pool luo_pool(void)
{
	return (struct luo_pool) {
		.total = luo_read_number(HUGE_POOL "nr_hugepages"),
		.free = luo_read_number(HUGE_POOL "free_hugepages"),
		.reserved = luo_read_number(HUGE_POOL "resv_hugepages"),
		.surplus = luo_read_number(HUGE_POOL "surplus_hugepages"),
	};
}

/* Returns what came of it: -ENOENT if there are no huge pages of that size. */
static inline long long luo_pool_resize(int pages)
{
	char text[16];
	int err;

	snprintf(text, sizeof(text), "%d", pages);
	err = luo_write(HUGE_POOL "nr_hugepages", text);
	return err ?: luo_read_number(HUGE_POOL "nr_hugepages");
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
