/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a kernel leaves in memory for the next about a memfd on huge pages of
 * hugetlbfs.
 *
 * Everything here is a contract between kernels of different versions: a
 * change of a structure or of its meaning needs a new format name. All
 * addresses are physical. See Documentation/core-api/kho/memfd_hugepages.rst.
 */
#ifndef _LINUX_KHO_ABI_MEMFD_HUGEPAGES_H
#define _LINUX_KHO_ABI_MEMFD_HUGEPAGES_H

#include <linux/build_bug.h>
#include <linux/kho/abi/memfd.h>
#include <linux/stddef.h>
#include <linux/types.h>

#define MEMFD_HUGEPAGES_FORMAT	"memfd-hugepages-v1"

/**
 * struct memfd_hugepages_ser - Start of the preserved page a file record leads to.
 * @memfd:     As for other memfds, but each record of a folio stands for one
 *             huge page, and none has page frame 0.
 * @ext:       As for other memfds, and always there. Its sum covers @ranges and
 *             @nr_ranges, in this order, if there are any.
 * @head:      Where @ext says what it does for other memfds, too.
 * @order:     Order of the file's huge pages.
 * @nr_ranges: Number of elements in @ranges.
 * @ranges:    Preserved block with what is reserved for the file, 0 if there
 *             is nothing but the folios.
 */
struct memfd_hugepages_ser {
	struct memfd_ser memfd;
	union {
		struct memfd_ext_ser ext;
		struct {
			u8	head[offsetof(struct memfd_ext_ser, kind)];
			u32	order;
			u32	nr_ranges;
			u64	ranges;
		} __packed;
	};
} __packed __aligned(8);

static_assert(offsetof(struct memfd_hugepages_ser, ext) == 48);
static_assert(offsetof(struct memfd_hugepages_ser, order) == 400);
static_assert(offsetof(struct memfd_hugepages_ser, ranges) + 8 ==
	      offsetof(struct memfd_hugepages_ser, ext.sum_magic));

/**
 * struct memfd_hugepages_range_ser - Huge pages that are reserved for a file.
 * @from: The first, as its number in the file.
 * @to:   The one behind the last.
 *
 * In ascending order and apart from each other. Where there are folios is
 * part of a range.
 */
struct memfd_hugepages_range_ser {
	u64	from;
	u64	to;
} __packed;

static_assert(sizeof(struct memfd_hugepages_range_ser) == 16);

/* Name of the blob in the root tree that tells of all such files together. */
#define MEMFD_HUGEPAGES_POOL_BLOB	"memfd-hugepages-pool"
#define MEMFD_HUGEPAGES_POOL_FORMAT	"memfd-hugepages-pool-v1"

/**
 * struct memfd_hugepages_pool_row_ser - Huge pages of preserved files.
 * @order: Their order.
 * @nid:   The node they are on.
 * @pages: How many there are, in files that were not retrieved by the kernel that
 *         tells it as well as in its own.
 */
struct memfd_hugepages_pool_row_ser {
	u32	order;
	u32	nid;
	u64	pages;
} __packed;

static_assert(sizeof(struct memfd_hugepages_pool_row_ser) == 16);

/**
 * struct memfd_hugepages_pool_ser - What the pools of the next kernel will get.
 * @format:   MEMFD_HUGEPAGES_POOL_FORMAT, zero-padded.
 * @nr:       Number of @rows.
 * @reserved: 0.
 * @rows:     One for each size and node, in any order.
 */
struct memfd_hugepages_pool_ser {
	char	format[32];
	u32	nr;
	u32	reserved;
	struct memfd_hugepages_pool_row_ser rows[];
} __packed;

static_assert(sizeof(struct memfd_hugepages_pool_ser) == 40);

#endif /* _LINUX_KHO_ABI_MEMFD_HUGEPAGES_H */
