/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_KHO_ABI_KEXEC_METADATA_H
#define _LINUX_KHO_ABI_KEXEC_METADATA_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/*
 * A blob by which a kernel knows which one started it, and how many were
 * started in a row. Another layout has another version.
 */
#define KHO_KEXEC_METADATA		"kexec-metadata"
#define KHO_KEXEC_METADATA_VERSION	1

/**
 * struct kho_kexec_metadata - who starts the next kernel
 * @version: KHO_KEXEC_METADATA_VERSION
 * @release: release of the kernel that wrote it, ended by a zero byte
 * @count: number of kexecs since the machine was started, the one to come
 *	included
 */
struct kho_kexec_metadata {
	u32 version;
	char release[65];
	u32 count;
} __packed;

static_assert(offsetof(struct kho_kexec_metadata, count) == 69);
static_assert(sizeof(struct kho_kexec_metadata) == 73);

#endif /* _LINUX_KHO_ABI_KEXEC_METADATA_H */
