/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _KHO_GAPS_H
#define _KHO_GAPS_H

#include <linux/init.h>

/* [start, end) in page frame numbers */
struct kho_span {
	unsigned long start;
	unsigned long end;
};

void __init kho_gaps_keep(struct kho_span *gaps, unsigned long nr,
			  unsigned long room);

#endif /* _KHO_GAPS_H */
