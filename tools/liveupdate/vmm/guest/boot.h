/* SPDX-License-Identifier: GPL-2.0 */
/* What the guest program and its VMM agree on. */
#ifndef GUEST_BOOT_H
#define GUEST_BOOT_H

#define GUEST_BOOT_MAGIC	0x746f6f6274736575ULL

#define GUEST_BOOT_ADDR		0x1000	/* struct guest_boot */
#define GUEST_LOAD_ADDR		0x100000	/* program, entered in flat 32-bit mode */
#define GUEST_TABLE_ADDR	0x200000	/* a generation per pattern page */
#define GUEST_SERIAL_PORT	0x3f8
#define GUEST_PAGE_SIZE		4096

#ifndef __ASSEMBLER__
struct guest_boot {
	unsigned long long magic;
	unsigned long long ram_bytes;
	unsigned long long tsc_khz;
	unsigned long long report_ms;
};
#endif

#endif /* GUEST_BOOT_H */
