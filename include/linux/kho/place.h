/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_KHO_PLACE_H
#define _LINUX_KHO_PLACE_H

#include <linux/gfp_types.h>
#include <linux/types.h>

struct folio;
struct list_head;

bool kho_was_there_at_boot(unsigned long pfn);
bool kho_has_zone_movable(void);
gfp_t kho_spare_scratch(gfp_t gfp);
struct folio *kho_folio_alloc(gfp_t gfp, unsigned int order);
struct folio *kho_folio_alloc_keeping(gfp_t gfp, unsigned int order,
				      struct list_head *unfit);
void kho_put_unfit(struct list_head *unfit);

#endif /* _LINUX_KHO_PLACE_H */
