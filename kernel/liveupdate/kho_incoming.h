/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _KHO_INCOMING_H
#define _KHO_INCOMING_H

#include <linux/ctype.h>
#include <linux/init.h>
#include <linux/types.h>

struct kho_radix;

u64 kho_early_size(void);
u64 kho_image_room(void);

int __init kho_incoming_read(struct kho_radix *tree, u64 root_pa, bool early);
unsigned long __init kho_incoming_pages(void);
void __init kho_incoming_settle(void);
int __init kho_incoming_adopt(struct kho_radix *tree, u64 root_pa);
bool __init kho_incoming_test(u64 root_pa, unsigned long pfn,
			      unsigned int order, bool clear);

/* No kernel gives blobs or releases other names. */
static inline bool kho_name_is_sane(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!isascii(name[i]) || !isgraph(name[i]))
			return false;
	return len;
}

#endif /* _KHO_INCOMING_H */
