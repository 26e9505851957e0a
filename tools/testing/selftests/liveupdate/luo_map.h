/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the map of preserved memory for the next kernel is, and its shape.
 */
#ifndef LUO_MAP_H
#define LUO_MAP_H

#include <endian.h>

#include "luo_test.h"

#define LUO_KHO_OUT		"/sys/kernel/debug/kho/out/"

#define LUO_PAGE		4096
#define LUO_KEY_BITS		52
#define LUO_LEAF_SHIFT		15
#define LUO_TABLE_SHIFT		9
#define LUO_TABLE_ENTRIES	512
#define LUO_ROOT_LEVEL		5

#define LUO_FDT_PROP		3
#define LUO_FDT_NOP		4

/*
 * Value of a property of the root of a flattened device tree, 0 if there is
 * none. Properties come before subnodes.
 */
static inline uint64_t luo_fdt_u64(const uint32_t *fdt, const char *name)
{
	const char *strings = (const char *)fdt + be32toh(fdt[3]);
	const uint32_t *at = fdt + be32toh(fdt[2]) / 4;
	const uint32_t *end = fdt + be32toh(fdt[1]) / 4;
	uint64_t value;

	/* The empty name of the root. */
	for (at += 2; at < end; at++) {
		if (be32toh(*at) == LUO_FDT_NOP)
			continue;
		if (be32toh(*at) != LUO_FDT_PROP)
			break;
		if (!strcmp(strings + be32toh(at[2]), name)) {
			memcpy(&value, at + 3, sizeof(value));
			return value;
		}
		at += 2 + (be32toh(at[1]) + 3) / 4;
	}
	return 0;
}

/* Physical address of the top node, 0 if it can't be told. */
static inline uint64_t luo_map_root(void)
{
	uint32_t fdt[LUO_PAGE / 4] = {};

	if (luo_read_text(LUO_KHO_OUT "fdt", fdt, sizeof(fdt)) < 40)
		return 0;
	return luo_fdt_u64(fdt, "preserved-memory-map");
}

static inline unsigned int luo_slot_shift(int level)
{
	return LUO_LEAF_SHIFT + (level - 1) * LUO_TABLE_SHIFT;
}

#endif /* LUO_MAP_H */
