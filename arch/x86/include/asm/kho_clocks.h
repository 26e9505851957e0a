/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_KHO_CLOCKS_H
#define _ASM_X86_KHO_CLOCKS_H

#include <linux/types.h>

#ifdef CONFIG_X86_KHO_CLOCKS
void kho_clocks_take_over(void);
#else
static inline void kho_clocks_take_over(void) { }
#endif

/* What each clock's code knows, and takes from the kernel before. */
unsigned int tsc_measured_khz(void);
int tsc_take_over_khz(unsigned int khz);
u64 lapic_timer_hz(void);
void lapic_timer_take_over_hz(u64 hz);
extern u32 timer_irq_route;
extern u32 timer_irq_route_before;

#endif /* _ASM_X86_KHO_CLOCKS_H */
