/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What one kernel's Live Update Orchestrator leaves in memory for the next.
 *
 * Everything here is a contract between kernels of different versions: a
 * change of a structure or of its meaning needs a new format name. All
 * addresses are physical. See Documentation/core-api/kho/luo.rst.
 */
#ifndef _LINUX_KHO_ABI_LUO_H
#define _LINUX_KHO_ABI_LUO_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

#define LUO_BLOB_NAME		"LUO"
#define LUO_FORMAT		"luo-v5"
#define LUO_FORMAT_LENGTH	8

#define LUO_SESSION_NAME_LENGTH	64
#define LUO_HANDLER_NAME_LENGTH	48

/**
 * struct luo_root_ser - Where everything starts; a page of its own.
 * @format:   LUO_FORMAT, padded with zeros.
 * @number:   Live updates since the last cold boot, this one included.
 * @sessions: First block of session records, 0 for none.
 * @flb:      Page of FLB records, 0 for none.
 */
struct luo_root_ser {
	char	format[LUO_FORMAT_LENGTH];
	u64	number;
	u64	sessions;
	u64	flb;
} __packed;

static_assert(sizeof(struct luo_root_ser) == 32);

#define LUO_STAMPS_MAGIC	0x73706d617473756cULL	/* "lustamps" */

/**
 * struct luo_stamps_ser - When the old kernel did what, behind the root.
 * @magic:   LUO_STAMPS_MAGIC, else there are no stamps.
 * @khz:     Frequency of the counter.
 * @reboot:  Counter when reboot() was called.
 * @frozen:  Counter when the last file was frozen.
 *
 * An extension: readers that do not know it see a longer blob and ignore the
 * rest. The counter is get_cycles(), which goes on across kexec.
 */
struct luo_stamps_ser {
	u64	magic;
	u64	khz;
	u64	reboot;
	u64	frozen;
} __packed;

/**
 * struct luo_block_ser - Head of a page of records of one size.
 * @next:  Next block, 0 for none.
 * @count: Records that follow.
 */
struct luo_block_ser {
	u64	next;
	u64	count;
} __packed;

static_assert(sizeof(struct luo_block_ser) == 16);

/**
 * struct luo_session_ser - Record of a session.
 * @name:  Unique, not empty, with its NUL.
 * @files: First block of file records, 0 for none.
 * @count: Number of files.
 */
struct luo_session_ser {
	char	name[LUO_SESSION_NAME_LENGTH];
	u64	files;
	u64	count;
} __packed;

static_assert(sizeof(struct luo_session_ser) == 80);

/**
 * struct luo_file_ser - Record of a file.
 * @handler: Name of the file handler, with its NUL.
 * @data:    What the handler needs to retrieve the file.
 * @token:   Unique in the session.
 */
struct luo_file_ser {
	char	handler[LUO_HANDLER_NAME_LENGTH];
	u64	data;
	u64	token;
} __packed;

static_assert(sizeof(struct luo_file_ser) == 64);

#define LUO_NOTE_MAGIC		0x72656e776f6f756cULL	/* "luoowner" */
#define LUO_OWNER_NAME_LENGTH	52

#define LUO_OWNER_FLBS		1

/**
 * struct luo_note_ser - Whose a block of file records or the page of FLBs is; ends
 * the page.
 * @magic: LUO_NOTE_MAGIC, else nothing is known.
 * @owner: LUO_OWNER_FLBS; or FNV-1a of 64 bits of the session's name when the block
 *         was made, of LUO_OWNER_NAME_LENGTH bytes at most. A session that is
 *         handed over again may have got another name.
 *
 * Behind the last record there is always room for it. Readers that do not know it
 * ignore it.
 */
struct luo_note_ser {
	u64	magic;
	u64	owner;
} __packed;

static_assert(sizeof(struct luo_note_ser) == 16);

/**
 * struct luo_flb_ser - Record of file-lifecycle-bound data.
 * @name:  Unique, with its NUL.
 * @data:  What its owner needs to retrieve it.
 * @count: Files that depend on it.
 */
struct luo_flb_ser {
	char	name[LUO_HANDLER_NAME_LENGTH];
	u64	data;
	u64	count;
} __packed;

static_assert(sizeof(struct luo_flb_ser) == 64);

/**
 * struct luo_flb_page_ser - The page of FLB records.
 * @pages: 1.
 * @count: Records in use.
 * @flb:   Records.
 */
struct luo_flb_page_ser {
	u64	pages;
	u64	count;
	struct luo_flb_ser flb[];
} __packed;

static_assert(offsetof(struct luo_flb_page_ser, flb) == 16);

#endif /* _LINUX_KHO_ABI_LUO_H */
