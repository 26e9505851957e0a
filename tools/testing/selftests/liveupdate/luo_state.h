/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All that can be seen of live update from outside, to tell whether a call that
 * failed has changed anything.
 */
#ifndef LUO_STATE_H
#define LUO_STATE_H

#include <arpa/inet.h>

#include "luo_test.h"

#define LUO_DEBUGFS	"/sys/kernel/debug/liveupdate/sessions"
#define LUO_KHO_FDT	"/sys/kernel/debug/kho/out/fdt"

struct luo_state {
	struct liveupdate_ioctl_get_info info;
	/* Each session and each file, with its state and its size. */
	char sessions[262144];
	/* Open files of the whole system. */
	long long files;
	/* Pages in the map for the next kernel, -1 if it can't be read. */
	long long preserved;
};

static inline int luo_read_text(const char *path, void *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	while (len < size && (n = read(fd, (char *)buf + len, size - len)) > 0)
		len += n;
	n = n < 0 ? -errno : (ssize_t)len;
	close(fd);
	return n;
}

/* ---- the map of preserved memory, as the next kernel reads it ---- */

#define LUO_KEY_BITS	52
#define LUO_LEAF_SHIFT	15
#define LUO_TABLE_SHIFT	9
#define LUO_ROOT_LEVEL	5

/* Value of a property of the root of a flattened device tree. */
static inline int luo_fdt_u64(const char *fdt, const char *name, uint64_t *value)
{
	const uint32_t *head = (const uint32_t *)fdt;
	const char *strings = fdt + ntohl(head[3]);
	const uint32_t *at = (const uint32_t *)(fdt + ntohl(head[2]));
	const uint32_t *end = (const uint32_t *)(fdt + ntohl(head[1]));

	/* The empty name of the root. */
	for (at += 2; at < end && ntohl(*at) == 3; at += 3 + (ntohl(at[1]) + 3) / 4) {
		if (strcmp(strings + ntohl(at[2]), name))
			continue;
		memcpy(value, at + 3, sizeof(*value));
		return 0;
	}
	return -ENOENT;
}

static inline long long luo_count_leaf(const uint64_t *leaf, uint64_t key)
{
	unsigned int i, order = LUO_KEY_BITS - (63 - __builtin_clzll(key));
	long long blocks = 0;

	for (i = 0; i < 512; i++)
		blocks += __builtin_popcountll(leaf[i]);
	return blocks << order;
}

static inline long long luo_count_node(int mem, uint64_t pa, uint64_t key, int level)
{
	unsigned int shift = LUO_LEAF_SHIFT + (level - 1) * LUO_TABLE_SHIFT;
	long long n, pages = 0;
	uint64_t node[512];
	int i;

	if (pread(mem, node, sizeof(node), pa) != sizeof(node))
		return -1;
	if (!level)
		return luo_count_leaf(node, key);
	for (i = 0; i < 512; i++) {
		if (!node[i])
			continue;
		n = luo_count_node(mem, node[i], key + ((uint64_t)i << shift), level - 1);
		if (n < 0)
			return n;
		pages += n;
	}
	return pages;
}

static inline long long luo_count_preserved(void)
{
	uint32_t fdt[1024];
	long long pages;
	uint64_t root;
	int mem;

	if (luo_read_text(LUO_KHO_FDT, fdt, sizeof(fdt)) < 40 ||
	    luo_fdt_u64((char *)fdt, "preserved-memory-map", &root))
		return -1;
	mem = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return -1;
	pages = luo_count_node(mem, root, 0, LUO_ROOT_LEVEL);
	close(mem);
	return pages;
}

/* ---- taking and comparing ---- */

/* @dev may be -1. */
static inline int luo_state_get(int dev, struct luo_state *state)
{
	int n;

	memset(state, 0, sizeof(*state));
	if (dev >= 0) {
		n = luo_info(dev, &state->info);
		if (n)
			return n;
	}
	n = luo_read_text(LUO_DEBUGFS, state->sessions, sizeof(state->sessions));
	if (n == sizeof(state->sessions))
		return -E2BIG;
	state->files = luo_read_number("/proc/sys/fs/file-nr");
	state->preserved = luo_count_preserved();
	return 0;
}

/* What differs first, or NULL. */
static inline const char *luo_state_differs(const struct luo_state *a,
					    const struct luo_state *b)
{
	static char text[128];

	if (memcmp(&a->info, &b->info, sizeof(a->info)))
		return "GET_INFO";
	if (memcmp(a->sessions, b->sessions, sizeof(a->sessions)))
		return LUO_DEBUGFS;
	snprintf(text, sizeof(text), "%lld open files instead of %lld",
		 b->files, a->files);
	if (a->files != b->files)
		return text;
	snprintf(text, sizeof(text), "%lld preserved pages instead of %lld",
		 b->preserved, a->preserved);
	return a->preserved != b->preserved ? text : NULL;
}

#endif /* LUO_STATE_H */
