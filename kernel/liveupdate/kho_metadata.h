/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _KHO_METADATA_H
#define _KHO_METADATA_H

#include <linux/types.h>

struct kho_kexec_metadata;

bool kho_metadata_is_sane(const struct kho_kexec_metadata *metadata, size_t size);
void kho_metadata_fill(struct kho_kexec_metadata *next, u32 count);

#endif /* _KHO_METADATA_H */
