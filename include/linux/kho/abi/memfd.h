/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a kernel leaves in memory for the next about a memfd.
 *
 * Everything here is a contract between kernels of different versions: a
 * change of a structure or of its meaning needs a new format name. All
 * addresses are physical. See Documentation/core-api/kho/memfd.rst.
 */
#ifndef _LINUX_KHO_ABI_MEMFD_H
#define _LINUX_KHO_ABI_MEMFD_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/fcntl.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/stddef.h>
#include <linux/types.h>

#define MEMFD_LUO_FORMAT	"memfd-v2"

/* Seals the format can hold; the values are those of fcntl(2). */
#define MEMFD_LUO_SEALS		(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | \
				 F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | \
				 F_SEAL_EXEC)

#define MEMFD_FOLIO_PFN_MASK	GENMASK_ULL(51, 0)
#define MEMFD_FOLIO_DIRTY	BIT_ULL(52)
#define MEMFD_FOLIO_UPTODATE	BIT_ULL(53)

/**
 * struct memfd_folio_ser - Record of a folio.
 * @pfn_flags: Page frame number in the low 52 bits, MEMFD_FOLIO_* above. A
 *             record with page frame 0 is skipped.
 * @index:     Offset in the file in pages, a multiple of the folio's size,
 *             below the file's size. What no record covers is a hole.
 *
 * The order of the folio is that of the preserved block.
 */
struct memfd_folio_ser {
	u64	pfn_flags;
	u64	index;
} __packed;

static_assert(sizeof(struct memfd_folio_ser) == 16);

/**
 * struct memfd_ser - Start of the preserved page a file record leads to.
 * @pos:       File position.
 * @size:      Size of the file in bytes.
 * @seals:     Subset of MEMFD_LUO_SEALS.
 * @flags:     0.
 * @nr_folios: Number of records in @folios.
 * @folios:    Records, in a vmalloc area; all zero if there are none.
 */
struct memfd_ser {
	u64	pos;
	u64	size;
	u32	seals;
	u32	flags;
	u64	nr_folios;
	struct kho_vmalloc folios;
} __packed __aligned(8);

static_assert(offsetof(struct memfd_ser, seals) == 16);
static_assert(offsetof(struct memfd_ser, nr_folios) == 24);
static_assert(offsetof(struct memfd_ser, folios) == 32);
static_assert(sizeof(struct memfd_ser) == 48);

#define MEMFD_EXT_MAGIC		0x7478652d64666d65ULL	/* "emfd-ext" */
#define MEMFD_EXT_VERSION	3
#define MEMFD_EXT_VERSION_INDEX	4
#define MEMFD_EXT_NAME_LENGTH	250
#define MEMFD_EXT_SESSION_LENGTH 64
#define MEMFD_SUM_MAGIC		0x6d75732d64666d65ULL	/* "emfd-sum" */

/**
 * struct memfd_ext_ser - What the format has no place for, behind memfd_ser.
 * @magic:   MEMFD_EXT_MAGIC, else there is no extension.
 * @version: MEMFD_EXT_VERSION, or MEMFD_EXT_VERSION_INDEX if there is an index; a
 *           higher one only adds fields at the end.
 * @mode:    Permission bits, at most 07777. MFD_NOEXEC_SEAL is a file without
 *           execute bits that has F_SEAL_EXEC but no write seal.
 * @uid:     Owner, as the initial user namespace sees it.
 * @gid:     Group.
 * @name:    What memfd_create() was told, with its NUL.
 * @reserved: 0.
 * @token:   Since version 2: token of the file.
 * @session: Since version 2: session of the file, with its NUL. One that is
 *           handed over again may have got another name.
 * @kind:    Of the kind of file: see struct memfd_hugepages_ser. Else 0.
 * @sum_magic: Since version 3: MEMFD_SUM_MAGIC. Where it is, and @magic is not,
 *           @magic was damaged.
 * @sum:     Since version 3: memfd_sum() of each record, by its two words; of the
 *           address and 0 of each page of records, and of their list; and of what
 *           the kind of file adds. The order does not matter.
 * @sorted:  Since version 4: pages of records, from the first on, whose records go
 *           up by index and have no page of the file in common. Each page has
 *           records to its end, or to that of all.
 * @pages:   Since version 4: pages that all folios together have.
 * @index_sum: Since version 4: memfd_sum() of @sorted and @pages, and of first and
 *           sum of each page of records, see struct memfd_index_ser.
 *
 * Readers that do not know it ignore the rest of the page.
 */
struct memfd_ext_ser {
	u64	magic;
	u32	version;
	u32	mode;
	u32	uid;
	u32	gid;
	char	name[MEMFD_EXT_NAME_LENGTH];
	u8	reserved[6];
	u64	token;
	char	session[MEMFD_EXT_SESSION_LENGTH];
	u8	kind[16];
	u64	sum_magic;
	u64	sum;
	u64	sorted;
	u64	pages;
	u64	index_sum;
} __packed;

static_assert(offsetof(struct memfd_ext_ser, name) == 24);
static_assert(offsetof(struct memfd_ext_ser, token) == 280);
static_assert(offsetof(struct memfd_ext_ser, kind) == 352);
static_assert(offsetof(struct memfd_ext_ser, sum) == 376);
static_assert(sizeof(struct memfd_ext_ser) == 408);

/* How many pages of records a page of their list has, if there is an index. */
#define MEMFD_INDEX_PAGES	((KHO_VMALLOC_CHUNK_ENTRIES - 1) / 3)

/**
 * struct memfd_index_ser - Page of the list of pages of records, with an index.
 * @next:  Next such page, all of whose predecessors are full, or 0.
 * @phys:  Pages of records.
 * @end:   0. A reader of struct kho_vmalloc_chunk sees the end of the page here.
 * @sum:   Of each page of records: what its records add to the sum of the extension.
 * @first: Of each page of records: index of the first record.
 */
struct memfd_index_ser {
	u64	next;
	u64	phys[MEMFD_INDEX_PAGES];
	u64	end;
	u64	sum[MEMFD_INDEX_PAGES];
	u64	first[MEMFD_INDEX_PAGES];
} __packed;

static_assert(sizeof(struct memfd_index_ser) <= PAGE_SIZE);

/**
 * memfd_sum - What two words add to the sum of an extension.
 * @a: First word.
 * @b: Second word.
 *
 * A word that is another than it was is noticed, if it fits the file at all, and
 * so are two that change places.
 *
 * Return: a part of the sum, which wraps around.
 */
static inline u64 memfd_sum(u64 a, u64 b)
{
	return a * (2 * b + 0x5bd1e995);
}

#endif /* _LINUX_KHO_ABI_MEMFD_H */
