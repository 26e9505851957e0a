/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_KHO_AWAITED_PAGES_H
#define _LINUX_KHO_AWAITED_PAGES_H

#ifdef CONFIG_KEXEC_HANDOVER
unsigned long kho_awaited_pages(void);
#else
static inline unsigned long kho_awaited_pages(void)
{
	return 0;
}
#endif

#endif /* _LINUX_KHO_AWAITED_PAGES_H */
