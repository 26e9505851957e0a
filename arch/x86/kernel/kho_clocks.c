// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hand over what was measured of the clocks.
 *
 * Whoever waits for the next kernel waits for its calibration loops, too: up to
 * 20 ms for the timer interrupt, 100 ms for the local APIC timer. And the TSC
 * gets its final frequency a second after boot only, which is late for guests
 * that were resumed before: they see another frequency than the one they were
 * saved with. Both kernels run on the same CPUs, so the second one takes what
 * the first has found out, as far as it is plausible.
 */

#define pr_fmt(fmt) "kho_clocks: " fmt

#include <linux/align.h>
#include <linux/cpufeature.h>
#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/x86_clocks.h>
#include <linux/reboot.h>
#include <linux/string.h>

#include <asm/cpuid/api.h>
#include <asm/kho_clocks.h>
#include <asm/tsc.h>

static struct x86_clocks_ser *clocks_out;

static void kho_clocks_cpu(struct x86_clocks_ser *ser)
{
	u32 max_leaf;

	cpuid(0, &max_leaf, &ser->cpu[0], &ser->cpu[2], &ser->cpu[1]);
	ser->signature = cpuid_eax(1);
}

static struct x86_clocks_ser *__init kho_clocks_find(void)
{
	struct x86_clocks_ser *ser = NULL;
	phys_addr_t phys;
	size_t size;

	if (kho_retrieve_subtree(X86_CLOCKS_BLOB, &phys, &size))
		return NULL;

	if (size >= sizeof(*ser) && IS_ALIGNED(phys, PAGE_SIZE))
		ser = kho_peek(phys, PAGE_SIZE);
	if (!ser)
		pr_warn_once("blob '%s' is damaged\n", X86_CLOCKS_BLOB);
	return ser;
}

static bool __init kho_clocks_fit(const struct x86_clocks_ser *ser)
{
	struct x86_clocks_ser here = { .format = X86_CLOCKS_FORMAT };

	kho_clocks_cpu(&here);
	return !memcmp(ser->format, here.format, sizeof(here.format)) &&
	       !memcmp(ser->cpu, here.cpu, sizeof(here.cpu)) &&
	       ser->signature == here.signature;
}

/**
 * kho_clocks_take_over - use what the previous kernel has measured
 *
 * Context: Boot, when memory can be allocated and before timers are set up.
 */
void __init kho_clocks_take_over(void)
{
	const struct x86_clocks_ser *ser = kho_clocks_find();
	int err;

	if (!ser)
		return;
	if (!kho_clocks_fit(ser)) {
		pr_info("the previous kernel measured other CPUs, or left nothing that can be read\n");
		return;
	}

	/* A TSC known to be wrong says that the rest is not to be believed. */
	if (ser->tsc_khz) {
		err = tsc_take_over_khz(ser->tsc_khz);
		if (err == -ERANGE) {
			pr_info("the TSC does not have the %u kHz of the previous kernel\n",
				ser->tsc_khz);
			return;
		}
		if (!err)
			pr_info("TSC %u kHz, as the previous kernel measured\n",
				ser->tsc_khz);
	}

	lapic_timer_take_over_hz(ser->lapic_hz);
	timer_irq_route_before = ser->timer_route;
	pr_info("of the previous kernel: APIC timer %llu Hz, timer interrupt %#x\n",
		ser->lapic_hz, ser->timer_route);
}

/* The format goes last: it says that the rest is there. */
static int kho_clocks_fill(struct notifier_block *nb, unsigned long action,
			   void *unused)
{
	kho_clocks_cpu(clocks_out);
	clocks_out->timer_route = timer_irq_route;
	clocks_out->tsc_khz = tsc_measured_khz();
	clocks_out->lapic_hz = lapic_timer_hz();
	barrier();
	strscpy_pad(clocks_out->format, X86_CLOCKS_FORMAT);
	return NOTIFY_DONE;
}

static struct notifier_block kho_clocks_nb = {
	.notifier_call = kho_clocks_fill,
};

static int __init kho_clocks_init(void)
{
	struct x86_clocks_ser *old = kho_clocks_find();
	int err;

	/* What does not say that it is ours may be somebody else's. */
	if (old && !strncmp(old->format, X86_CLOCKS_FORMAT, sizeof(old->format)))
		kho_restore_free(old);
	if (!kho_is_enabled())
		return 0;

	clocks_out = kho_alloc_preserve(PAGE_SIZE);
	if (IS_ERR(clocks_out))
		return PTR_ERR(clocks_out);

	err = kho_add_subtree(X86_CLOCKS_BLOB, clocks_out, sizeof(*clocks_out));
	if (err) {
		pr_warn("the next kernel has to measure again: %pe\n", ERR_PTR(err));
		kho_unpreserve_free(clocks_out);
		return err;
	}

	return register_reboot_notifier(&kho_clocks_nb);
}
late_initcall(kho_clocks_init);
