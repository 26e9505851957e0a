/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_KHO_LAZY_PAGES_H
#define _LINUX_KHO_LAZY_PAGES_H

#include <linux/types.h>

#ifdef CONFIG_KEXEC_HANDOVER
#include <linux/jump_label.h>

DECLARE_STATIC_KEY_FALSE(kho_lazy_pages);

bool __kho_block_is_lazy(unsigned long pfn);
void __kho_touch_page(unsigned long pfn);

/**
 * kho_block_is_lazy - tell a pageblock whose struct pages are not set up
 * @pfn: a page of it
 *
 * Context: Any.
 * Return: true if only the first struct page of the pageblock may be looked at,
 * which is reserved: all of it was preserved by the previous kernel, and nobody
 * has taken a page of it yet.
 */
static inline bool kho_block_is_lazy(unsigned long pfn)
{
	return static_branch_unlikely(&kho_lazy_pages) && __kho_block_is_lazy(pfn);
}

/**
 * kho_touch_page - make sure that a struct page is set up
 * @pfn: a page that there is
 *
 * Context: Any.
 */
static inline void kho_touch_page(unsigned long pfn)
{
	if (static_branch_unlikely(&kho_lazy_pages))
		__kho_touch_page(pfn);
}
#else
static inline bool kho_block_is_lazy(unsigned long pfn)
{
	return false;
}

static inline void kho_touch_page(unsigned long pfn)
{
}
#endif /* CONFIG_KEXEC_HANDOVER */

#endif /* _LINUX_KHO_LAZY_PAGES_H */
