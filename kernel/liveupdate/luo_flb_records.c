// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of file-lifecycle-bound data: one page, ours from the moment somebody
 * needs it.
 *
 * A record stands for all files that depend on the FLB, those that came in and
 * those that go out.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/io.h>
#include <linux/mm.h>

#include "luo_flb.h"
#include "luo_records.h"

#define LUO_FLB_MAX \
	((PAGE_SIZE - sizeof(struct luo_flb_page_ser)) / sizeof(struct luo_flb_ser))

static struct luo_flb_ser *luo_flb_record_find(struct luo *luo, const char *name)
{
	struct luo_flb_page_ser *page = luo->flb_page;
	u64 i;

	for (i = luo->flb_records; i-- > 0;) {
		if (!strncmp(page->flb[i].name, name, sizeof(page->flb[i].name)))
			return &page->flb[i];
	}
	return NULL;
}

static struct luo_flb_ser *luo_flb_record_add(struct luo *luo, const char *name)
{
	struct luo_flb_page_ser *page = luo->flb_page;
	struct luo_flb_ser *record;

	if (luo->flb_records == LUO_FLB_MAX)
		return NULL;

	record = &page->flb[luo->flb_records];
	strscpy_pad(record->name, name);
	page->count = ++luo->flb_records;
	return record;
}

/* Those behind it move up: the next kernel knows by the order who is newer. */
static void luo_flb_record_remove(struct luo *luo, struct luo_flb_ser *record)
{
	struct luo_flb_page_ser *page = luo->flb_page;
	struct luo_flb_ser *last = &page->flb[luo->flb_records - 1];

	memmove(record, record + 1, (last - record) * sizeof(*record));
	memset(last, 0, sizeof(*last));
	page->count = --luo->flb_records;
}

/* ---- what came in ---- */

static bool luo_flb_page_valid(const struct luo_flb_page_ser *page)
{
	return page && page->pages == 1 && page->count <= LUO_FLB_MAX;
}

/* Without a note it may be another kernel's; without names, of somebody else. */
static bool luo_flb_page_is_ours(const struct luo_flb_page_ser *page)
{
	u64 i;

	if (luo_page_owner(page) == LUO_OWNER_FLBS)
		return true;
	for (i = 0; i < page->count; i++) {
		if (luo_name_valid(page->flb[i].name))
			return true;
	}
	return false;
}

/* A page that makes no sense is left alone, its memory reserved. */
static void luo_flb_page_take_over(struct luo *luo)
{
	const struct luo_flb_page_ser *page;
	u64 pa = luo->root->flb;

	luo->flb_read = true;
	if (!pa)
		return;

	page = PAGE_ALIGNED(pa) ? luo->memory->peek(pa) : NULL;
	if (luo_flb_page_valid(page) && luo_flb_page_is_ours(page))
		luo->flb_page = luo->memory->claim(pa);
	if (luo->flb_page) {
		luo->flb_records = luo->flb_page->count;
		luo->flb_unread = luo->flb_records;
		/* Records are oldest first, and older than what comes now. */
		luo->flb_seq = luo->flb_unread;
		return;
	}
	luo->root->flb = 0;
	/* Nothing is lost with it, whosever it is. */
	if (luo_flb_page_valid(page) && !page->count)
		return;
	pr_warn("list of FLBs is damaged; their memory stays reserved\n");
	luo->flbs_lost = true;
}

static void luo_flb_record_condemn(struct luo *luo, struct luo_flb_ser *record)
{
	pr_warn("FLB record %td is damaged; its memory stays reserved\n",
		record - luo->flb_page->flb);
	luo_flb_record_remove(luo, record);
}

/* Whose the other is can't be known. The one that was read before is behind. */
static void luo_flb_condemn_twins(struct luo_flb *f, struct luo_flb_ser *record)
{
	struct luo *luo = f->luo;

	if (f->in.state != LUO_FLB_DAMAGED)
		luo_flb_record_condemn(luo, luo_flb_record_find(luo, f->name));
	luo_flb_record_condemn(luo, record);
	f->in.state = LUO_FLB_DAMAGED;
	luo->flbs_lost = true;
}

static int luo_flb_record_read(struct luo *luo, struct luo_flb_ser *record)
{
	struct luo_flb *f;

	if (!luo_name_valid(record->name)) {
		luo->flbs_lost = true;
		luo_flb_record_condemn(luo, record);
		return 0;
	}
	f = luo_flb_find(luo, record->name);
	if (f) {
		luo_flb_condemn_twins(f, record);
		return 0;
	}
	f = luo_flb_new(luo, record->name);
	if (!f)
		return -ENOMEM;

	f->in.state = record->count ? LUO_FLB_INCOMING : LUO_FLB_DAMAGED;
	f->in.files = record->count ?: 1;
	f->in.data = record->data;
	f->in.seq = luo->flb_unread;
	f->in.place = luo->flb_unread;
	if (!record->count)
		luo_flb_record_condemn(luo, record);
	return 0;
}

/**
 * luo_flb_page_read - Read what FLBs the previous kernel left.
 * @luo: Instance, FLBs locked.
 *
 * Runs once; free afterwards. From the last record on, so that only those that
 * were read move when one is removed.
 *
 * Return: 0; -EBUSY if reboot() is under way, and it goes on as it is; or -ENOMEM
 * and it may be tried again.
 */
int luo_flb_page_read(struct luo *luo)
{
	int err;

	lockdep_assert_held(&luo->flb_lock);
	if (luo->flb_read && !luo->flb_unread)
		return 0;
	if (READ_ONCE(luo->frozen))
		return -EBUSY;
	if (!luo->flb_read)
		luo_flb_page_take_over(luo);

	while (luo->flb_unread) {
		err = luo_flb_record_read(luo, &luo->flb_page->flb[luo->flb_unread - 1]);
		if (err)
			return err;
		luo->flb_unread--;
	}
	return 0;
}

/* ---- what goes out ---- */

/**
 * luo_flb_page_make - Have a page for records.
 * @luo: Instance, FLBs locked.
 *
 * Return: 0 or -ENOMEM.
 */
int luo_flb_page_make(struct luo *luo)
{
	struct luo_flb_page_ser *page;

	lockdep_assert_held(&luo->flb_lock);
	if (luo->flb_page)
		return 0;

	page = luo->memory->alloc();
	if (IS_ERR(page))
		return PTR_ERR(page);

	page->pages = 1;
	luo_page_note(page, LUO_OWNER_FLBS);
	luo->flb_page = page;
	luo->root->flb = virt_to_phys(page);
	return 0;
}

/**
 * luo_flb_unclaimed - Count the files of the previous kernel that are to be
 * handed over as they came.
 * @f: FLB, locked.
 *
 * Return: number of files.
 */
u64 luo_flb_unclaimed(const struct luo_flb *f)
{
	if (f->in.state == LUO_FLB_DAMAGED)
		return 0;
	return f->in.files - min(f->in.files, f->carried);
}

/* Sides of which a part only can go out are seen to by reboot(). */
static void luo_flb_to_hand_over(const struct luo_flb *f, u64 *data, u64 *files)
{
	u64 unclaimed = luo_flb_unclaimed(f);

	*data = f->out.data;
	*files = f->out.files;
	if (f->out.state == LUO_FLB_CARRIED) {
		*files += unclaimed;
	} else if (unclaimed) {
		*data = f->in.data;
		*files = f->in.files;
	}
}

/**
 * luo_flb_sync - Bring the record in line with the FLB.
 * @f: FLB; all FLBs are locked.
 *
 * Return: 0, or -ENOSPC if it has no record and there is no room for one.
 */
int luo_flb_sync(struct luo_flb *f)
{
	struct luo *luo = f->luo;
	struct luo_flb_ser *record = luo_flb_record_find(luo, f->name);
	u64 data, files;

	lockdep_assert_held(&luo->flb_lock);
	luo_flb_to_hand_over(f, &data, &files);
	if (!files) {
		if (record)
			luo_flb_record_remove(luo, record);
		return 0;
	}
	if (!record)
		record = luo_flb_record_add(luo, f->name);
	if (!record)
		return -ENOSPC;

	record->data = data;
	record->count = files;
	return 0;
}

/* What only goes on as it came was there before all that goes out. */
static bool luo_flb_record_is_newer(const struct luo_flb *f, const struct luo_flb *other)
{
	const struct luo_flb_side *a = f->out.state ? &f->out : &f->in;
	const struct luo_flb_side *b = other->out.state ? &other->out : &other->in;

	return a->place != b->place ? a->place > b->place : a->seq > b->seq;
}

static void luo_flb_record_sink(struct luo *luo, u64 i)
{
	struct luo_flb_ser *records = luo->flb_page->flb;
	const struct luo_flb *f = luo_flb_find(luo, records[i].name), *other;

	for (; i > luo->flb_unread; i--) {
		other = luo_flb_find(luo, records[i - 1].name);
		/* A name was damaged meanwhile. */
		if (!f || !other || !luo_flb_record_is_newer(other, f))
			return;
		swap(records[i - 1], records[i]);
	}
}

/**
 * luo_flb_put_in_order - Let records stand in the order in which FLBs need each
 * other, the newest last.
 * @luo: Instance, frozen.
 *
 * One that came in and goes out anew may now need what did not come in.
 */
void luo_flb_put_in_order(struct luo *luo)
{
	u64 i;

	guard(mutex)(&luo->flb_lock);
	for (i = luo->flb_unread + 1; i < luo->flb_records; i++)
		luo_flb_record_sink(luo, i);
}
