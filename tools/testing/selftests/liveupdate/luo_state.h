/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All that can be seen of live update from outside, to tell whether a call that
 * failed has changed anything.
 */
#ifndef LUO_STATE_H
#define LUO_STATE_H

#include "luo_map.h"

#define LUO_DEBUGFS	"/sys/kernel/debug/liveupdate/sessions"

struct luo_state {
	struct liveupdate_ioctl_get_info info;
	/* Each session and each file, with its state and its size. */
	char sessions[262144];
	/* Open files of the whole system. */
	long long files;
	/* Pages in the map for the next kernel, -1 if it can't be read. */
	long long preserved;
};

/* ---- the map of preserved memory, as the next kernel reads it ---- */

static inline long long luo_count_leaf(const uint64_t *leaf, uint64_t key)
{
	unsigned int i, order = LUO_KEY_BITS - (63 - __builtin_clzll(key));
	long long blocks = 0;

	for (i = 0; i < LUO_TABLE_ENTRIES; i++)
		blocks += __builtin_popcountll(leaf[i]);
	return blocks << order;
}

static inline long long luo_count_node(int mem, uint64_t pa, uint64_t key, int level)
{
	unsigned int shift = luo_slot_shift(level);
	long long n, pages = 0;
	uint64_t node[LUO_TABLE_ENTRIES];
	int i;

	if (pread(mem, node, sizeof(node), pa) != sizeof(node))
		return -1;
	if (!level)
		return luo_count_leaf(node, key);
	for (i = 0; i < LUO_TABLE_ENTRIES; i++) {
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
	uint64_t root = luo_map_root();
	long long pages;
	int mem;

	if (!root)
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
