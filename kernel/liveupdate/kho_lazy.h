/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _KHO_LAZY_H
#define _KHO_LAZY_H

#include <linux/init.h>
#include <linux/types.h>

struct kho_radix;

void kho_touch_pages(unsigned long pfn, unsigned long nr_pages);
bool kho_lazy_none_left(void);

void __init kho_lazy_init(const struct kho_radix *tree);
void __init kho_lazy_add(unsigned long pfn, unsigned long end);
void __init kho_lazy_remove(unsigned long pfn, unsigned long end);
void __init kho_lazy_start(void);

#endif /* _KHO_LAZY_H */
