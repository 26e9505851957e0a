/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Let the nth of something fail: of the allocations of this thread, or of the
 * calls of functions of KHO.
 */
#ifndef LUO_INJECT_H
#define LUO_INJECT_H

#include "luo_test.h"

#define LUO_FAILSLAB	"/sys/kernel/debug/failslab/"
#define LUO_FAILPAGE	"/sys/kernel/debug/fail_page_alloc/"
#define LUO_FAILFUNC	"/sys/kernel/debug/fail_function/"

struct luo_injector {
	const char *name;
	/* 0, or -errno if this kernel can't. */
	int (*start)(void);
	void (*stop)(void);
	int (*arm)(unsigned int n);
	/* 1 if something failed since arm(), 0 if not. */
	int (*disarm)(void);
};

/* ---- allocations ---- */

static int luo_fail_nth = -1;

static inline int luo_start_allocations(void)
{
	/* The kernel's way to let all fail, not only those in a hurry. */
	int err = luo_write(LUO_FAILSLAB "ignore-gfp-wait", "N") ?:
		  luo_write(LUO_FAILPAGE "ignore-gfp-wait", "N") ?:
		  luo_write(LUO_FAILPAGE "ignore-gfp-highmem", "N") ?:
		  luo_write(LUO_FAILPAGE "min-order", "0") ?:
		  luo_write(LUO_FAILSLAB "verbose", "0") ?:
		  luo_write(LUO_FAILPAGE "verbose", "0");

	if (err)
		return err;
	luo_fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return luo_fail_nth < 0 ? -errno : 0;
}

static inline void luo_stop_allocations(void)
{
	close(luo_fail_nth);
}

static inline int luo_arm_allocations(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	return pwrite(luo_fail_nth, text, len, 0) == len ? 0 : -errno;
}

static inline int luo_disarm_allocations(void)
{
	char left[16] = "";

	if (pread(luo_fail_nth, left, sizeof(left) - 1, 0) <= 0 ||
	    pwrite(luo_fail_nth, "0", 1, 0) != 1)
		return -errno;
	return atoi(left) == 0;
}

/* ---- calls of KHO ---- */

struct luo_function {
	const char *name;
	const char *result;
};

#define LUO_MINUS_ENOMEM	"0xfffffffffffffff4"

static const struct luo_function luo_functions[] = {
	{ "kho_preserve_folio", LUO_MINUS_ENOMEM },
	{ "kho_preserve_folios", LUO_MINUS_ENOMEM },
	{ "kho_preserve_pages", LUO_MINUS_ENOMEM },
	{ "kho_alloc_preserve", LUO_MINUS_ENOMEM },
	{ }
};

static inline void luo_stop_calls(void)
{
	luo_write(LUO_FAILFUNC "probability", "0");
	luo_write(LUO_FAILFUNC "inject", "\n");
}

static inline int luo_start_calls(void)
{
	const struct luo_function *f;
	char path[128];
	int err;

	for (f = luo_functions; f->name; f++) {
		err = luo_write(LUO_FAILFUNC "inject", f->name);
		if (err)
			return err;
		snprintf(path, sizeof(path), LUO_FAILFUNC "%s/retval", f->name);
		err = luo_write(path, f->result);
		if (err)
			return err;
	}
	return luo_write(LUO_FAILFUNC "verbose", "0") ?:
	       luo_write(LUO_FAILFUNC "times", "0") ?:
	       luo_write(LUO_FAILFUNC "probability", "100");
}

static inline int luo_arm_calls(unsigned int n)
{
	char text[16];

	/* What is let through before. */
	snprintf(text, sizeof(text), "%u", n);
	return luo_write(LUO_FAILFUNC "space", text) ?:
	       luo_write(LUO_FAILFUNC "times", "1");
}

static inline int luo_disarm_calls(void)
{
	long long left = luo_read_number(LUO_FAILFUNC "times");
	int err = luo_write(LUO_FAILFUNC "times", "0");

	return left < 0 ? (int)left : err ?: !left;
}

enum {
	LUO_ALLOCATIONS,
	LUO_CALLS,
	LUO_INJECTORS,
};

static const struct luo_injector luo_injectors[LUO_INJECTORS] = {
	[LUO_ALLOCATIONS] = {
		.name = "allocation",
		.start = luo_start_allocations,
		.stop = luo_stop_allocations,
		.arm = luo_arm_allocations,
		.disarm = luo_disarm_allocations,
	},
	[LUO_CALLS] = {
		.name = "call of KHO",
		.start = luo_start_calls,
		.stop = luo_stop_calls,
		.arm = luo_arm_calls,
		.disarm = luo_disarm_calls,
	},
};

#endif /* LUO_INJECT_H */
