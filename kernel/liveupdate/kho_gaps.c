// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small gaps between preserved blocks.
 *
 * To give a page that has no free neighbour to the page allocator costs several
 * hundred instructions, and blocks that alternate with memory of others leave as
 * many such pages as there are blocks. Nobody misses them while the system
 * starts, so they are freed some time later, or when memory runs out.
 */

#include <linux/bug.h>
#include <linux/cleanup.h>
#include <linux/init.h>
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/pgalloc_tag.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "kho_gaps.h"

static DEFINE_MUTEX(kho_gaps_lock);
static struct kho_span *kho_gaps;
static unsigned long kho_gaps_nr;
static size_t kho_gaps_size;

static void kho_gap_free(struct page *page, unsigned long nr)
{
	for (; nr--; page++) {
		clear_page_tag_ref(page);
		ClearPageReserved(page);
		init_page_count(page);
		__free_page(page);
	}
}

/* Free all gaps; returns how many pages. */
static unsigned long kho_gaps_free_all(void)
{
	struct page *page, *counted = pfn_to_page(kho_gaps[0].start);
	unsigned long i, nr, sum = 0, total = 0;

	for (i = 0; i < kho_gaps_nr; i++) {
		page = pfn_to_page(kho_gaps[i].start);
		nr = kho_gaps[i].end - kho_gaps[i].start;
		/* This goes through all zones, so not for every gap. */
		if (page_zone(page) != page_zone(counted)) {
			adjust_managed_page_count(counted, sum);
			counted = page;
			sum = 0;
		}
		kho_gap_free(page, nr);
		sum += nr;
		total += nr;
		cond_resched();
	}
	adjust_managed_page_count(counted, sum);
	return total;
}

/* With kho_gaps_lock held. Returns the number of pages that are free from now on. */
static unsigned long kho_gaps_release(void)
{
	unsigned long freed;

	if (!kho_gaps)
		return 0;

	freed = kho_gaps_free_all();
	kmemleak_free_part_phys(__pa(kho_gaps), kho_gaps_size);
	free_reserved_area(kho_gaps, (void *)kho_gaps + kho_gaps_size, -1, NULL);
	kho_gaps = NULL;
	return freed;
}

static void kho_gaps_workfn(struct work_struct *work)
{
	guard(mutex)(&kho_gaps_lock);
	kho_gaps_release();
}

static DECLARE_DELAYED_WORK(kho_gaps_work, kho_gaps_workfn);

static int kho_gaps_oom(struct notifier_block *nb, unsigned long action, void *freed)
{
	unsigned long *sum = freed;

	/* If they are just being freed there is some memory already. */
	if (!mutex_trylock(&kho_gaps_lock)) {
		*sum += 1;
		return NOTIFY_OK;
	}
	*sum += kho_gaps_release();
	mutex_unlock(&kho_gaps_lock);
	return NOTIFY_OK;
}

static struct notifier_block kho_gaps_oom_nb = { .notifier_call = kho_gaps_oom };

/**
 * kho_gaps_keep - remember memory that nobody has
 * @gaps: array of whole pages from memblock, given away; the struct pages of the
 *	gaps are set up
 * @nr: number of gaps
 * @room: number of gaps that the array has room for
 */
void __init kho_gaps_keep(struct kho_span *gaps, unsigned long nr,
			  unsigned long room)
{
	const size_t size = room * sizeof(*gaps);

	/* Its pages are freed one day, with whatever else there is in them. */
	if (WARN_ON_ONCE(!PAGE_ALIGNED(size)))
		return;

	kho_gaps = gaps;
	kho_gaps_nr = nr;
	kho_gaps_size = size;
}

/* An initrd that is unpacked may need them. */
static int __init kho_gaps_watch_memory(void)
{
	return kho_gaps ? register_oom_notifier(&kho_gaps_oom_nb) : 0;
}
core_initcall(kho_gaps_watch_memory);

static int __init kho_gaps_init(void)
{
	/* Seconds of work on a large host, on whatever CPU has time. */
	if (kho_gaps)
		queue_delayed_work(system_dfl_wq, &kho_gaps_work, HZ);
	return 0;
}
late_initcall(kho_gaps_init);
