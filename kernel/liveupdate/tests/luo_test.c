// SPDX-License-Identifier: GPL-2.0-only
/* Instances of live update on memory that counts and can fail; see luo_test.h. */

#include <linux/delay.h>
#include <linux/file.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "luo_test.h"

/* Pages of this instance; the others are of the kernel before. */
#define LUO_TEST_OURS	XA_MARK_0

struct luo_test *luo_test_now;

/* ---- steps and the log ---- */

int luo_test_step(struct luo_test *t)
{
	if (t->dead)
		return 0;
	t->calls++;
	if (++t->steps != t->fail_step)
		return 0;

	t->fail_step = 0;
	return t->fail_errno;
}

/**
 * luo_test_fail_step - Make one call that may fail do so.
 * @t:    Test.
 * @step: Which, counted from now and from 1.
 * @err:  What it returns.
 */
void luo_test_fail_step(struct luo_test *t, unsigned int step, int err)
{
	t->steps = 0;
	t->fail_step = step;
	t->fail_errno = err;
}

/**
 * luo_test_fail_step_done - End luo_test_fail_step().
 * @t: Test.
 *
 * Return: true if the step came and failed.
 */
bool luo_test_fail_step_done(struct luo_test *t)
{
	bool done = !t->fail_step;

	t->fail_step = 0;
	return done;
}

void luo_test_log(struct luo_test *t, const char *who, const char *op, int err)
{
	if (t->dead)
		return;
	seq_buf_printf(&t->log.seq, "%s%s.%s%s", t->log.seq.len ? " " : "", who,
		       op, err ? "!" : "");
}

/**
 * luo_test_log_take - Take words out of the log.
 * @t:   Test.
 * @len: Length of the words, without the space behind them.
 *
 * Return: the words; they live until the test ends.
 */
const char *luo_test_log_take(struct luo_test *t, size_t len)
{
	const char *text = seq_buf_str(&t->log.seq);
	char *taken = kunit_kzalloc(t->test, len + 1, GFP_KERNEL);
	char *rest = kunit_kstrdup(t->test, text + min(len + 1, strlen(text)), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(t->test, taken);
	KUNIT_ASSERT_NOT_NULL(t->test, rest);
	strscpy(taken, text, len + 1);
	seq_buf_clear(&t->log.seq);
	seq_buf_puts(&t->log.seq, rest);
	return taken;
}

static void luo_test_text_init(struct luo_test_text *text)
{
	seq_buf_init(&text->seq, text->bytes, sizeof(text->bytes));
}

/* ---- memory ---- */

/* What the fakes allocate is not counted by luo_test_fail_alloc(). */
static void luo_test_xa_store(struct xarray *xa, unsigned long index, void *entry)
{
#ifdef CONFIG_FAULT_INJECTION
	unsigned int nth = current->fail_nth;

	current->fail_nth = 0;
	xa_store(xa, index, entry, GFP_KERNEL | __GFP_NOFAIL);
	current->fail_nth = nth;
#else
	xa_store(xa, index, entry, GFP_KERNEL | __GFP_NOFAIL);
#endif
}

static void *luo_test_page_add(struct luo_test *t, bool ours)
{
	void *page = (void *)get_zeroed_page(GFP_KERNEL | __GFP_NOFAIL);
	unsigned long index = virt_to_phys(page) >> PAGE_SHIFT;

	luo_test_xa_store(&t->pages, index, page);
	if (ours)
		xa_set_mark(&t->pages, index, LUO_TEST_OURS);
	return page;
}

static void luo_test_page_drop(struct luo_test *t, unsigned long index)
{
	free_page((unsigned long)xa_erase(&t->pages, index));
}

/* Any page, as a kernel that reads what was handed over sees it. */
void *luo_test_page_at(struct luo_test *t, u64 pa)
{
	return PAGE_ALIGNED(pa) ? xa_load(&t->pages, pa >> PAGE_SHIFT) : NULL;
}

/**
 * luo_test_page_is_previous - Say if a page is there and nobody claimed it.
 * @t:  Test.
 * @pa: Physical address.
 *
 * Return: true if it is the previous kernel's still.
 */
bool luo_test_page_is_previous(struct luo_test *t, u64 pa)
{
	return luo_test_page_at(t, pa) &&
	       !xa_get_mark(&t->pages, pa >> PAGE_SHIFT, LUO_TEST_OURS);
}

/**
 * luo_test_previous_page - Make a page that the kernel before has preserved.
 * @t: Test.
 *
 * Return: address of the page, zeroed.
 */
void *luo_test_previous_page(struct luo_test *t)
{
	return luo_test_page_add(t, false);
}

/**
 * luo_test_previous_root - Make a root that the kernel before has left.
 * @t: Test.
 *
 * Return: valid root without sessions, of the first live update.
 */
struct luo_root_ser *luo_test_previous_root(struct luo_test *t)
{
	struct luo_root_ser *root = luo_test_previous_page(t);

	strscpy_pad(root->format, LUO_FORMAT);
	root->number = 1;
	return root;
}

/**
 * luo_test_pages - Count the pages of the instance.
 * @t: Test.
 *
 * Return: number of pages.
 */
unsigned int luo_test_pages(struct luo_test *t)
{
	unsigned long index;
	unsigned int n = 0;
	void *page;

	xa_for_each_marked(&t->pages, index, page, LUO_TEST_OURS)
		n++;
	return n;
}

static void *luo_test_alloc(void)
{
	struct luo_test *t = luo_test_now;
	int err = luo_test_step(t);

	return err ? ERR_PTR(err) : luo_test_page_add(t, true);
}

static void luo_test_free(void *page)
{
	struct luo_test *t = luo_test_now;
	u64 pa = virt_to_phys(page);

	if (t->dead)
		return;
	KUNIT_ASSERT_PTR_EQ(t->test, luo_test_page_at(t, pa), page);
	KUNIT_ASSERT_FALSE(t->test, luo_test_page_is_previous(t, pa));
	luo_test_page_drop(t, pa >> PAGE_SHIFT);
}

static void *luo_test_peek(u64 pa)
{
	struct luo_test *t = luo_test_now;

	t->calls++;
	return luo_test_page_is_previous(t, pa) ? luo_test_page_at(t, pa) : NULL;
}

static void *luo_test_claim(u64 pa)
{
	struct luo_test *t = luo_test_now;
	void *page = luo_test_peek(pa);

	KUNIT_EXPECT_NOT_NULL_MSG(t->test, page, "claim without peek");
	if (!page || luo_test_step(t))
		return NULL;

	xa_set_mark(&t->pages, pa >> PAGE_SHIFT, LUO_TEST_OURS);
	return page;
}

static void luo_test_hold(void)
{
	luo_test_now->holders++;
}

static void luo_test_release(void)
{
	struct luo_test *t = luo_test_now;
	unsigned long index;
	void *page;

	t->holders--;
	xa_for_each(&t->pages, index, page) {
		if (!xa_get_mark(&t->pages, index, LUO_TEST_OURS))
			luo_test_page_drop(t, index);
	}
}

static const struct luo_memory luo_test_memory = {
	.alloc	= luo_test_alloc,
	.free	= luo_test_free,
	.peek	= luo_test_peek,
	.claim	= luo_test_claim,
	.hold	= luo_test_hold,
	.release = luo_test_release,
};

/* ---- blobs: what a handler or FLB preserves ---- */

u64 luo_test_blob_new(struct luo_test *t, u64 id)
{
	/* A word that is damaged a little is not the handle of another. */
	t->next_blob += t->hostile ? 0x9e3779b9 : 1;
	luo_test_xa_store(&t->blobs, t->next_blob, xa_mk_value(id));
	return t->next_blob;
}

/* Handlers are told of what they preserved, and of nothing else. */
u64 luo_test_blob_id(struct luo_test *t, u64 blob)
{
	void *entry = xa_load(&t->blobs, blob);

	if (!t->hostile)
		KUNIT_EXPECT_NOT_NULL_MSG(t->test, entry, "no blob %llu", blob);
	return entry ? xa_to_value(entry) : U32_MAX;
}

u64 luo_test_blob_free(struct luo_test *t, u64 blob)
{
	u64 id = luo_test_blob_id(t, blob);

	if (!t->dead)
		xa_erase(&t->blobs, blob);
	return id;
}

/**
 * luo_test_blobs - Count what is preserved and not released.
 * @t: Test.
 *
 * Return: number of blobs.
 */
unsigned int luo_test_blobs(struct luo_test *t)
{
	unsigned long index;
	unsigned int n = 0;
	void *entry;

	xa_for_each(&t->blobs, index, entry)
		n++;
	return n;
}

/* ---- life ---- */

/**
 * luo_test_start - Start the instance.
 * @t:        Test.
 * @incoming: Root of the kernel before, on a page of its own, or NULL. The
 *            page is given back, as at boot.
 */
void luo_test_start(struct luo_test *t, const struct luo_root_ser *incoming)
{
	int err;

	t->holders = 0;
	err = luo_init(&t->luo, &luo_test_memory, incoming);
	KUNIT_ASSERT_EQ(t->test, err, 0);
	t->running = true;
	if (incoming)
		luo_test_page_drop(t, __pa(incoming) >> PAGE_SHIFT);
}

static void luo_test_close_sessions(struct luo_test *t)
{
	struct liveupdate_session *session;
	u64 seqno = 0;

	while ((session = luo_session_next(&t->luo, seqno))) {
		seqno = session->seq + 1;
		if (session->state == LUO_SESSION_OUTGOING)
			luo_session_close(session);
		else if (session->state == LUO_SESSION_RETRIEVED)
			luo_session_give_back(session);
		luo_session_put(session);
	}
}

static void luo_test_stop(struct luo_test *t)
{
	struct liveupdate_file_handler *fh;

	luo_test_close_sessions(t);
	while ((fh = list_first_entry_or_null(&t->luo.handlers,
					      struct liveupdate_file_handler, node)))
		luo_handler_unregister(&t->luo, fh);
	luo_destroy(&t->luo);
	t->running = false;
	flush_delayed_fput();
}

/* Returns the contents of all pages, one after the other. */
static u8 *luo_test_save_pages(struct luo_test *t)
{
	unsigned long index, n = 0;
	void *page;
	u8 *saved;

	xa_for_each(&t->pages, index, page)
		n++;
	saved = kvmalloc_array(n, PAGE_SIZE, GFP_KERNEL | __GFP_NOFAIL);
	n = 0;
	xa_for_each(&t->pages, index, page)
		memcpy(saved + n++ * PAGE_SIZE, page, PAGE_SIZE);
	return saved;
}

static void luo_test_load_pages(struct luo_test *t, const u8 *saved)
{
	unsigned long index, n = 0;
	void *page;

	xa_for_each(&t->pages, index, page) {
		memcpy(page, saved + n++ * PAGE_SIZE, PAGE_SIZE);
		xa_clear_mark(&t->pages, index, LUO_TEST_OURS);
	}
}

/**
 * luo_test_jump - Let the next kernel's instance take over.
 * @t: Test, its instance frozen.
 *
 * What the old instance does to go away is undone: in reality it just ends.
 * Handlers and FLBs have to be registered anew.
 */
void luo_test_jump(struct luo_test *t)
{
	const struct luo_root_ser *root = t->luo.root;
	u8 *saved = luo_test_save_pages(t);

	t->dead = true;
	luo_test_stop(t);
	t->dead = false;
	luo_test_load_pages(t, saved);
	kvfree(saved);
	seq_buf_clear(&t->log.seq);
	if (t->between)
		t->between(t);
	luo_test_start(t, root);
}

/**
 * luo_test_freeze_and_jump - Do what reboot() does.
 * @t: Test.
 */
void luo_test_freeze_and_jump(struct luo_test *t)
{
	KUNIT_ASSERT_EQ(t->test, luo_freeze(&t->luo, true), 0);
	luo_test_jump(t);
}

/**
 * luo_test_restart - Throw the instance away and start another one.
 * @t:        Test.
 * @incoming: As luo_test_start().
 */
void luo_test_restart(struct luo_test *t, const struct luo_root_ser *incoming)
{
	luo_test_stop(t);
	luo_test_start(t, incoming);
}

static void luo_test_free_pages(struct luo_test *t)
{
	unsigned long index;
	void *page;

	xa_for_each(&t->pages, index, page)
		luo_test_page_drop(t, index);
	xa_destroy(&t->pages);
	xa_destroy(&t->blobs);
}

/**
 * luo_test_renew - Throw away all that there is and start anew.
 * @t: Test; what is ours and not handed back then has leaked.
 */
void luo_test_renew(struct luo_test *t)
{
	t->dead = t->luo.frozen;
	luo_test_stop(t);
	if (!t->dead)
		KUNIT_EXPECT_EQ_MSG(t->test, luo_test_pages(t), 0, "pages leaked");
	t->dead = false;
	luo_test_free_pages(t);
#ifdef CONFIG_MODULE_UNLOAD
	/* FLBs that count files which are not there keep it. */
	atomic_set(&t->module->refcnt, 1);
#endif
	seq_buf_clear(&t->log.seq);
	luo_test_start(t, NULL);
}

unsigned int luo_test_pins(struct luo_test *t)
{
#ifdef CONFIG_MODULE_UNLOAD
	return module_refcount(t->module);
#else
	return 0;
#endif
}

static void luo_test_module_init(struct luo_test *t)
{
#ifdef CONFIG_MODULE_UNLOAD
	t->module = kunit_kzalloc(t->test, sizeof(*t->module), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(t->test, t->module);
	t->module->state = MODULE_STATE_LIVE;
	atomic_set(&t->module->refcnt, 1);
#endif
}

/**
 * luo_test_init - Set up a test with a running instance; for struct kunit_suite.
 * @test: Test.
 *
 * Return: 0.
 */
int luo_test_init(struct kunit *test)
{
	struct luo_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->test = test;
	test->priv = t;
	xa_init(&t->pages);
	xa_init(&t->blobs);
	luo_test_text_init(&t->log);
	luo_test_text_init(&t->state);
	luo_test_text_init(&t->handed_over);
	luo_test_now = t;
	luo_test_module_init(t);
	luo_test_start(t, NULL);
	return 0;
}

/* An instance without sessions has nothing and holds nothing. */
static void luo_test_expect_empty(struct luo_test *t)
{
	if (t->luo.frozen || luo_test_blobs(t) == t->abandoned)
		return;
	if (RB_EMPTY_ROOT(&t->luo.by_seq) && t->luo.sessions_read)
		KUNIT_EXPECT_EQ_MSG(t->test, luo_test_blobs(t), t->abandoned,
				    "preserved and not released");
}

/* Files are closed here and by a worker, which may be at the last one. */
static void luo_test_close_files(struct luo_test *t)
{
	int tries;

	flush_delayed_fput();
	for (tries = 500; atomic_read(&t->open_files) && tries; tries--)
		msleep(20);
}

/**
 * luo_test_exit - End a test: nothing may be left; for struct kunit_suite.
 * @test: Test.
 */
void luo_test_exit(struct kunit *test)
{
	struct luo_test *t = luo_test_of(test);

	luo_test_fail_step(t, 0, 0);
	luo_test_fail_alloc(0);
	luo_test_expect_empty(t);
	t->dead = t->luo.frozen;
	if (t->running)
		luo_test_stop(t);
	while (t->nr_held)
		fput(t->held[--t->nr_held]);
	luo_test_close_files(t);

	if (!t->dead)
		KUNIT_EXPECT_EQ_MSG(test, luo_test_pages(t), 0, "pages leaked");
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&t->open_files), 0, "files leaked");
	KUNIT_EXPECT_EQ_MSG(test, luo_test_pins(t), 0, "module still pinned");
	luo_test_free_pages(t);
	luo_test_now = NULL;
}
