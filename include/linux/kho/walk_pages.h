/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_KHO_WALK_PAGES_H
#define _LINUX_KHO_WALK_PAGES_H

#include <linux/kho/lazy_pages.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>

/**
 * kho_walk_page - pfn_to_online_page() for who tells about memory
 * @pfn: a page frame number
 *
 * Struct pages that are not set up stay so: the first one of the pageblock, which
 * is reserved, stands for each of them. For who looks at a single struct page, to
 * tell its zone, the type of its pageblock, or what it is used for.
 *
 * Context: Any.
 * Return: the struct page, or NULL if there is no page.
 */
static inline struct page *kho_walk_page(unsigned long pfn)
{
	if (kho_block_is_lazy(pfn))
		return pfn_to_page(pageblock_start_pfn(pfn));

	return pfn_to_online_page(pfn);
}

#endif /* _LINUX_KHO_WALK_PAGES_H */
