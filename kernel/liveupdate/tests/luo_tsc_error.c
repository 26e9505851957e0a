// SPDX-License-Identifier: GPL-2.0-only
/*
 * Let this kernel hand over a wrong frequency of the TSC, as if it had been
 * disturbed while it measured.
 */

#include <linux/math64.h>
#include <linux/module.h>
#include <linux/reboot.h>

#include <asm/tsc.h>

static unsigned int ppm = 3000;
module_param(ppm, uint, 0400);
MODULE_PARM_DESC(ppm, "how far the frequency is off, in millionths");

static int tsc_error_make(struct notifier_block *nb, unsigned long action,
			  void *unused)
{
	tsc_khz += mul_u32_u32(tsc_khz, ppm) / 1000000;
	return NOTIFY_DONE;
}

static struct notifier_block tsc_error_nb = {
	.notifier_call = tsc_error_make,
	/* Before the frequency is written down. */
	.priority = INT_MAX,
};

static int __init tsc_error_init(void)
{
	return register_reboot_notifier(&tsc_error_nb);
}
module_init(tsc_error_init);

static void __exit tsc_error_exit(void)
{
	unregister_reboot_notifier(&tsc_error_nb);
}
module_exit(tsc_error_exit);

MODULE_DESCRIPTION("Wrong frequency of the TSC for the next kernel");
MODULE_LICENSE("GPL");
