// SPDX-License-Identifier: GPL-2.0-only
/* Where memory lies that is handed over: kho_place.c. */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/kho/place.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/sizes.h>

#include "../../kexec_handover_internal.h"

static int place_init(struct kunit *test)
{
	if (!kho_is_enabled())
		kunit_skip(test, "needs kho=on");
	return 0;
}

static unsigned int asked;

/* There is some that fits where it begins. */
static bool begins_zone(unsigned long pfn)
{
	return pfn == page_zone(pfn_to_page(pfn))->zone_start_pfn;
}

/* As if memory had been added, and lay first in the free lists. */
static bool was_there_but_for_the_first(unsigned long pfn)
{
	return begins_zone(pfn) || ++asked > 600;
}

static void memory_that_does_not_fit_is_not_tried_again(struct kunit *test)
{
	struct folio *folio;

	asked = 0;
	kunit_activate_static_stub(test, kho_was_there_at_boot,
				   was_there_but_for_the_first);
	folio = kho_folio_alloc(GFP_KERNEL_ACCOUNT | __GFP_ZERO, 0);
	kunit_deactivate_static_stub(test, kho_was_there_at_boot);
	KUNIT_ASSERT_NOT_NULL(test, folio);
	KUNIT_EXPECT_GT(test, asked, 600);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(folio_address(folio), 0, PAGE_SIZE), NULL);
	folio_put(folio);
}

static bool was_never_there(unsigned long pfn)
{
	return begins_zone(pfn);
}

static void all_that_does_not_fit_comes_back(struct kunit *test)
{
	unsigned long before = global_zone_page_state(NR_FREE_PAGES), after;

	kunit_activate_static_stub(test, kho_was_there_at_boot, was_never_there);
	KUNIT_EXPECT_PTR_EQ(test, kho_folio_alloc(GFP_KERNEL, 0), NULL);
	kunit_deactivate_static_stub(test, kho_was_there_at_boot);
	after = global_zone_page_state(NR_FREE_PAGES);
	KUNIT_EXPECT_GT(test, after, before / 4 * 3);
}

/* The page allocator gives what was freed last. */
static void folio_is_not_in_a_scratch_area(struct kunit *test)
{
	struct kho_scratch *real = kho_scratch, *area;
	struct folio *folio = folio_alloc(GFP_KERNEL, 0);
	unsigned int order;

	area = kunit_kcalloc(test, kho_scratch_cnt + 1, sizeof(*area), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, area);
	KUNIT_ASSERT_NOT_NULL(test, folio);
	memcpy(area, kho_scratch, kho_scratch_cnt * sizeof(*area));
	area[kho_scratch_cnt] = (struct kho_scratch){
		round_down(PFN_PHYS(folio_pfn(folio)), SZ_64M), SZ_64M
	};
	folio_put(folio);
	kho_scratch = area;
	kho_scratch_cnt++;
	for (order = 0; order < 3; order++) {
		folio = kho_folio_alloc(GFP_KERNEL, order);
		KUNIT_EXPECT_NOT_NULL(test, folio);
		if (!folio)
			continue;
		KUNIT_EXPECT_FALSE(test, kho_scratch_overlap(PFN_PHYS(folio_pfn(folio)),
							     folio_size(folio)));
		folio_put(folio);
	}
	kho_scratch_cnt--;
	kho_scratch = real;
}

static struct kunit_case place_cases[] = {
	KUNIT_CASE(memory_that_does_not_fit_is_not_tried_again),
	KUNIT_CASE(all_that_does_not_fit_comes_back),
	KUNIT_CASE(folio_is_not_in_a_scratch_area),
	{}
};

static struct kunit_suite place_suite = {
	.name = "kho_place",
	.init = place_init,
	.test_cases = place_cases,
};
kunit_test_suite(place_suite);
