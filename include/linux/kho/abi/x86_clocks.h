/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a kernel leaves in memory for the next about the clocks of an x86
 * machine.
 *
 * Everything here is a contract between kernels of different versions: a
 * change of the structure or of its meaning needs a new format name. A kernel
 * that does not know the blob measures for itself.
 */
#ifndef _LINUX_KHO_ABI_X86_CLOCKS_H
#define _LINUX_KHO_ABI_X86_CLOCKS_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/* Name of the blob in the root tree. */
#define X86_CLOCKS_BLOB		"x86-clocks"
#define X86_CLOCKS_FORMAT	"x86-clocks-v1"

/* Bit 31, the number of the I/O APIC in bits 8 to 23, its pin in bits 0 to 7. */
#define X86_CLOCKS_ROUTE(apic, pin)	(BIT(31) | (u32)(apic) << 8 | (pin))

/**
 * struct x86_clocks_ser - What was measured of a machine's clocks.
 * @format:    X86_CLOCKS_FORMAT, zero-padded; all zero until the previous
 *             kernel was on its way out.
 * @cpu:       Vendor, as CPUID leaf 0 gives it in EBX, EDX and ECX.
 * @signature: Family, model and stepping, as CPUID leaf 1 gives them in EAX.
 * @timer_route: X86_CLOCKS_ROUTE() by which firmware has IRQ 0 arrive, if it was
 *             seen to; 0 otherwise.
 * @tsc_khz:   Frequency of the TSC as refined, 0 if it was not.
 * @reserved:  0.
 * @lapic_hz:  Frequency of the local APIC timer before its divisor, 0 if it
 *             was not measured.
 */
struct x86_clocks_ser {
	char	format[16];
	u32	cpu[3];
	u32	signature;
	u32	timer_route;
	u32	tsc_khz;
	u64	reserved;
	u64	lapic_hz;
} __packed;

static_assert(sizeof(struct x86_clocks_ser) == 56);
static_assert(offsetof(struct x86_clocks_ser, lapic_hz) == 48);

#endif /* _LINUX_KHO_ABI_X86_CLOCKS_H */
