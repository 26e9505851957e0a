/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_KHO_ABI_KEXEC_HANDOVER_H
#define _LINUX_KHO_ABI_KEXEC_HANDOVER_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/types.h>

#include <vdso/page.h>

/*
 * What one kernel leaves in memory for the next. Everything here is read by
 * other kernel versions: a change needs a new compatible string.
 *
 * Physical addresses are u64, integers are in native byte order, and both
 * kernels have the same PAGE_SIZE.
 */

/* The root: a flattened device tree that fills no more than one page. */
#define KHO_FDT_COMPATIBLE		"kho-v4"

/* Root property, u64: physical address of the preserved-memory map's root. */
#define KHO_FDT_MEMORY_MAP_PROP		"preserved-memory-map"

/* One subnode per blob, named by its owner, with these two u64 properties. */
#define KHO_FDT_BLOB_PROP		"preserved-data"
#define KHO_FDT_BLOB_SIZE_PROP		"blob-size"

/*
 * The preserved-memory map is a radix tree of zero-initialised pages. A block
 * of 2^order pages at physical address pa is one key, whose highest set bit
 * gives the order back:
 *
 *	key = 1 << (KHO_RADIX_KEY_BITS - order) | pa >> (PAGE_SHIFT + order)
 *
 * A node of level 0 is a bitmap indexed by the low KHO_RADIX_LEAF_SHIFT bits
 * of the key. A node of a higher level is a table of physical addresses of
 * nodes one level below, 0 where there is none, indexed by the next
 * KHO_RADIX_TABLE_SHIFT bits of the key.
 */
#define KHO_RADIX_KEY_BITS		(64 - PAGE_SHIFT)
#define KHO_RADIX_TABLE_SHIFT		(PAGE_SHIFT - 3)
#define KHO_RADIX_LEAF_SHIFT		(PAGE_SHIFT + 3)
#define KHO_RADIX_TABLE_ENTRIES		BIT(KHO_RADIX_TABLE_SHIFT)
#define KHO_RADIX_LEAF_BITS		BIT(KHO_RADIX_LEAF_SHIFT)
#define KHO_RADIX_LEVELS						\
	((KHO_RADIX_KEY_BITS + 1 - KHO_RADIX_LEAF_SHIFT +		\
	  KHO_RADIX_TABLE_SHIFT - 1) / KHO_RADIX_TABLE_SHIFT + 1)

#if PAGE_SHIFT == 12
static_assert(KHO_RADIX_TABLE_ENTRIES == 512);
static_assert(KHO_RADIX_LEAF_BITS == 32768);
static_assert(KHO_RADIX_LEVELS == 6);
#endif

/* Flags of struct kho_vmalloc */
#define KHO_VMALLOC_ALLOC		0x0001	/* VM_ALLOC */
#define KHO_VMALLOC_HUGE_VMAP		0x0002	/* VM_ALLOW_HUGE_VMAP */

/**
 * struct kho_vmalloc - a preserved vmalloc area
 * @first: physical address of the first struct kho_vmalloc_chunk
 * @total_pages: size of the area in pages
 * @flags: KHO_VMALLOC_*
 * @order: order of the blocks that make up the area
 */
struct kho_vmalloc {
	u64 first;
	u32 total_pages;
	u16 flags;
	u16 order;
} __packed __aligned(8);

static_assert(sizeof(struct kho_vmalloc) == 16);

#define KHO_VMALLOC_CHUNK_ENTRIES	(PAGE_SIZE / sizeof(u64) - 1)

/**
 * struct kho_vmalloc_chunk - a page of the list of a vmalloc area's blocks
 * @next: physical address of the next chunk, 0 in the last one
 * @phys: physical address of each block, 0 after the last one
 */
struct kho_vmalloc_chunk {
	u64 next;
	u64 phys[KHO_VMALLOC_CHUNK_ENTRIES];
};

static_assert(sizeof(struct kho_vmalloc_chunk) == PAGE_SIZE);

#endif /* _LINUX_KHO_ABI_KEXEC_HANDOVER_H */
