// SPDX-License-Identifier: GPL-2.0-only
/* Fakes and helpers of the suites; see luo_test.h. */

#include <linux/anon_inodes.h>
#include <linux/cleanup.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kmsg_dump.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../luo_file.h"
#include "../luo_flb.h"
#include "luo_test.h"

/* Pages of this instance; the others are of the kernel before. */
#define LUO_TEST_OURS	XA_MARK_0

/*
 * Memory's functions and the release of files are not told whose they are,
 * and the latter may run in a worker.
 */
static struct luo_test *luo_test_now;

/* ---- steps and the log ---- */

static int luo_test_step(struct luo_test *t)
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

static void luo_test_log(struct luo_test *t, const char *who, const char *op,
			 int err)
{
	if (t->dead)
		return;
	seq_buf_printf(&t->log.seq, "%s%s.%s%s", t->log.seq.len ? " " : "", who,
		       op, err ? "!" : "");
}

static void luo_test_log_file(struct luo_test *t,
			      const struct luo_test_handler *h, const char *op,
			      u64 id, int err)
{
	char text[32];

	snprintf(text, sizeof(text), "%s:%llu", op, id);
	luo_test_log(t, h->name, text, err);
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
static void *luo_test_page_at(struct luo_test *t, u64 pa)
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

static u64 luo_test_blob_new(struct luo_test *t, u64 id)
{
	/* A word that is damaged a little is not the handle of another. */
	t->next_blob += t->hostile ? 0x9e3779b9 : 1;
	luo_test_xa_store(&t->blobs, t->next_blob, xa_mk_value(id));
	return t->next_blob;
}

/* Handlers are told of what they preserved, and of nothing else. */
static u64 luo_test_blob_id(struct luo_test *t, u64 blob)
{
	void *entry = xa_load(&t->blobs, blob);

	if (!t->hostile)
		KUNIT_EXPECT_NOT_NULL_MSG(t->test, entry, "no blob %llu", blob);
	return entry ? xa_to_value(entry) : U32_MAX;
}

static u64 luo_test_blob_free(struct luo_test *t, u64 blob)
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

/* ---- files ---- */

struct luo_test_file {
	struct luo_test *t;
	struct luo_test_handler *h;
	u64 id;
};

static int luo_test_file_release(struct inode *inode, struct file *file)
{
	struct luo_test_file *tf = file->private_data;

	atomic_dec(&tf->t->open_files);
	kfree(tf);
	return 0;
}

static const struct file_operations luo_test_fops = {
	.release = luo_test_file_release,
};

static struct file *luo_test_file_open(struct luo_test *t,
				       struct luo_test_handler *h, u64 id)
{
	struct luo_test_file *tf = kzalloc(sizeof(*tf), GFP_KERNEL);
	struct file *file;

	if (!tf)
		return ERR_PTR(-ENOMEM);

	*tf = (struct luo_test_file) { .t = t, .h = h, .id = id };
	file = anon_inode_getfile("[luo_test]", &luo_test_fops, tf, O_RDWR);
	if (IS_ERR(file))
		kfree(tf);
	else
		atomic_inc(&t->open_files);
	return file;
}

/**
 * luo_test_file - Make a file; it lives until the test ends.
 * @t:  Test.
 * @h:  The handler that takes it, or NULL.
 * @id: What the log calls it.
 *
 * Return: the file.
 */
struct file *luo_test_file(struct luo_test *t, struct luo_test_handler *h, u64 id)
{
	struct file *file = luo_test_file_open(t, h, id);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(t->test, file);
	KUNIT_ASSERT_LT(t->test, t->nr_held, LUO_TEST_FILES);
	t->held[t->nr_held++] = file;
	return file;
}

/* ---- handlers ---- */

static struct luo_test_handler *luo_test_handler_of(struct liveupdate_file_handler *fh)
{
	return container_of(fh, struct luo_test_handler, fh);
}

static bool luo_test_can_preserve(struct liveupdate_file_handler *fh,
				  struct file *file)
{
	struct luo_test_file *tf = file->private_data;

	return file->f_op == &luo_test_fops && tf->h == luo_test_handler_of(fh);
}

/* The file that a file of the handler depends on, if any. */
static bool luo_test_leans(const struct luo_test_handler *h, u64 id, u64 *token)
{
	*token = id - h->leans;
	return h->leans && id > h->leans;
}

static int luo_test_lean(struct liveupdate_file_op_args *args, u64 id)
{
	struct luo_test *t = luo_test_now;
	struct luo_file *other;
	u64 token, found;
	int err;

	if (!luo_test_leans(luo_test_handler_of(args->handler), id, &token))
		return 0;

	other = luo_file_find(&args->session->files, token);
	KUNIT_ASSERT_NOT_NULL(t->test, other);
	err = liveupdate_get_token_outgoing(args->session, other->file, &found);
	KUNIT_EXPECT_TRUE(t->test, err || found == token);
	return err;
}

static int luo_test_preserve_op(struct liveupdate_file_op_args *args)
{
	struct luo_test_file *tf = args->file->private_data;
	struct luo_test *t = luo_test_now;
	int err = luo_test_step(t) ?: luo_test_lean(args, tf->id);

	luo_test_log_file(t, tf->h, "preserve", tf->id, err);
	args->serialized_data = err ? U64_MAX : luo_test_blob_new(t, tf->id);
	args->private_data = (void *)(unsigned long)args->serialized_data;
	args->preserved_bytes = PAGE_SIZE;
	return err;
}

static void luo_test_unpreserve_op(struct liveupdate_file_op_args *args)
{
	struct luo_test_handler *h = luo_test_handler_of(args->handler);
	struct luo_test *t = luo_test_now;
	u64 token, id = luo_test_blob_free(t, args->serialized_data);

	KUNIT_EXPECT_TRUE(t->test, t->dead ||
			  (unsigned long)args->private_data == args->serialized_data);
	luo_test_log_file(t, h, "unpreserve", id, 0);
	if (luo_test_leans(h, id, &token))
		liveupdate_put_token_outgoing(args->session, token);
}

static int luo_test_freeze_op(struct liveupdate_file_op_args *args)
{
	struct luo_test_handler *h = luo_test_handler_of(args->handler);
	struct luo_test *t = luo_test_now;
	u64 id = luo_test_blob_id(t, args->serialized_data);
	int err = luo_test_step(t);

	luo_test_log_file(t, h, "freeze", id, err);
	if (err)
		args->serialized_data = U64_MAX;
	else if (h->freeze_changes_data)
		args->serialized_data = luo_test_blob_new(t, id);
	return err;
}

static void luo_test_unfreeze_op(struct liveupdate_file_op_args *args)
{
	struct luo_test_handler *h = luo_test_handler_of(args->handler);
	struct luo_test *t = luo_test_now;
	u64 id = luo_test_blob_id(t, args->serialized_data);

	luo_test_log_file(t, h, "unfreeze", id, 0);
	if (h->freeze_changes_data) {
		luo_test_blob_free(t, args->serialized_data);
		args->serialized_data = (unsigned long)args->private_data;
	}
}

static void luo_test_settle_op(struct liveupdate_file_op_args *args)
{
	luo_test_log_file(luo_test_now, luo_test_handler_of(args->handler), "settle",
			  luo_test_blob_id(luo_test_now, args->serialized_data), 0);
}

static void luo_test_unsettle_op(struct liveupdate_file_op_args *args)
{
	luo_test_log_file(luo_test_now, luo_test_handler_of(args->handler), "unsettle",
			  luo_test_blob_id(luo_test_now, args->serialized_data), 0);
}

/* What retrieve leaves in private_data for finish. */
static void *luo_test_retrieved_mark(u64 id)
{
	return (void *)(unsigned long)(id + 0x1000);
}

static int luo_test_retrieve_op(struct liveupdate_file_op_args *args)
{
	struct luo_test_handler *h = luo_test_handler_of(args->handler);
	struct luo_test *t = luo_test_now;
	u64 token, id = luo_test_blob_id(t, args->serialized_data);
	struct file *other;
	int err = 0;

	if (luo_test_leans(h, id, &token))
		err = liveupdate_get_file_incoming(args->session, token, &other);
	if (err)
		return err;
	if (luo_test_leans(h, id, &token))
		fput(other);

	err = luo_test_step(t);
	if (t->hostile && !xa_load(&t->blobs, args->serialized_data))
		err = -EBADMSG;
	luo_test_log_file(t, h, "retrieve", id, err);
	KUNIT_EXPECT_EQ(t->test, args->retrieve_status, 0);
	KUNIT_EXPECT_NULL(t->test, args->file);
	if (err) {
		if (luo_test_leans(h, id, &token))
			liveupdate_put_file_incoming(args->session, token);
		args->file = ERR_PTR(err);
		args->retry = h->retry;
		return err;
	}
	if (h->forgets_file)
		return 0;

	args->file = luo_test_file_open(t, h, id);
	args->private_data = luo_test_retrieved_mark(id);
	return PTR_ERR_OR_ZERO(args->file);
}

static bool luo_test_can_finish_op(struct liveupdate_file_op_args *args)
{
	struct luo_test_handler *h = luo_test_handler_of(args->handler);
	struct luo_test *t = luo_test_now;
	u64 id = luo_test_blob_id(t, args->serialized_data);
	bool can = !luo_test_step(t) && h->can_finish;

	luo_test_log_file(t, h, "can_finish", id, !can);
	return can;
}

static void luo_test_look_at_incoming(struct luo_test *t, struct luo_test_flb *f)
{
	void *obj;

	KUNIT_EXPECT_EQ(t->test, luo_flb_get_incoming(&t->luo, &f->flb, &obj), 0);
	luo_flb_put_incoming(&t->luo, &f->flb);
}

static void luo_test_finish_op(struct liveupdate_file_op_args *args)
{
	struct luo_test_handler *h = luo_test_handler_of(args->handler);
	struct luo_test *t = luo_test_now;
	bool retrieved = args->retrieve_status == 1;
	struct luo_test_file *tf = args->file ? args->file->private_data : NULL;
	u64 id, token;

	if (!args->serialized_data) {
		/* A damaged record may say so itself. */
		if (!t->hostile)
			KUNIT_EXPECT_EQ(t->test, args->retrieve_status, -EBADMSG);
		luo_test_log(t, h->name, "leave", 0);
		return;
	}
	id = luo_test_blob_free(t, args->serialized_data);
	if (!t->hostile)
		KUNIT_EXPECT_EQ(t->test, retrieved, tf && tf->id == id);
	if (retrieved && !t->hostile)
		KUNIT_EXPECT_PTR_EQ(t->test, args->private_data,
				    luo_test_retrieved_mark(id));
	luo_test_log_file(t, h, retrieved ? "finish" : "free", id, 0);
	if (h->looks_at)
		luo_test_look_at_incoming(t, h->looks_at);
	if (retrieved && luo_test_leans(h, id, &token))
		liveupdate_put_file_incoming(args->session, token);
}

static const struct liveupdate_file_ops luo_test_handler_ops = {
	.can_preserve	= luo_test_can_preserve,
	.preserve	= luo_test_preserve_op,
	.unpreserve	= luo_test_unpreserve_op,
	.freeze		= luo_test_freeze_op,
	.unfreeze	= luo_test_unfreeze_op,
	.settle		= luo_test_settle_op,
	.unsettle	= luo_test_unsettle_op,
	.retrieve	= luo_test_retrieve_op,
	.can_finish	= luo_test_can_finish_op,
	.finish		= luo_test_finish_op,
};

/**
 * luo_test_handler_new - Make a handler and don't register it.
 * @t:    Test.
 * @name: Name, and what the log calls it.
 *
 * Return: the handler; its ops may be changed.
 */
struct luo_test_handler *luo_test_handler_new(struct luo_test *t, const char *name)
{
	struct luo_test_handler *h = kunit_kzalloc(t->test, sizeof(*h), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(t->test, h);
	h->name = name;
	h->can_finish = true;
	h->ops = luo_test_handler_ops;
	h->ops.owner = t->module;
	h->fh.ops = &h->ops;
	strscpy((char *)h->fh.compatible, name, sizeof(h->fh.compatible));
	return h;
}

/**
 * luo_test_handler - Make a handler and register it.
 * @t:    Test.
 * @name: Name, and what the log calls it.
 *
 * Return: the handler.
 */
struct luo_test_handler *luo_test_handler(struct luo_test *t, const char *name)
{
	struct luo_test_handler *h = luo_test_handler_new(t, name);

	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	return h;
}

/* ---- FLBs ---- */

static struct luo_test_flb *luo_test_flb_of(struct liveupdate_flb *flb)
{
	return container_of(flb, struct luo_test_flb, flb);
}

static void luo_test_flb_set_data(struct liveupdate_flb_op_args *args, u64 data)
{
	args->data = data;
	args->obj = (void *)(unsigned long)data;
}

static int luo_test_flb_preserve(struct liveupdate_flb_op_args *args)
{
	struct luo_test_flb *f = luo_test_flb_of(args->flb);
	struct luo_test *t = luo_test_now;
	int err = luo_test_step(t);
	void *obj;

	luo_test_log(t, f->name, "preserve", err);
	if (!err && f->uses)
		err = luo_flb_get_outgoing(&t->luo, &f->uses->flb, &obj);
	luo_test_flb_set_data(args, err ? U64_MAX : luo_test_blob_new(t, 0));
	return err;
}

static void luo_test_flb_unpreserve(struct liveupdate_flb_op_args *args)
{
	struct luo_test_flb *f = luo_test_flb_of(args->flb);
	struct luo_test *t = luo_test_now;

	KUNIT_EXPECT_EQ(t->test, (unsigned long)args->obj, args->data);
	luo_test_blob_free(t, args->data);
	luo_test_log(t, f->name, "unpreserve", 0);
	if (f->uses)
		luo_flb_put_outgoing(&t->luo, &f->uses->flb);
}

static int luo_test_flb_retrieve(struct liveupdate_flb_op_args *args)
{
	struct luo_test_flb *f = luo_test_flb_of(args->flb);
	struct luo_test *t = luo_test_now;
	int err = luo_test_step(t);
	void *obj;

	luo_test_blob_id(t, args->data);
	luo_test_log(t, f->name, "retrieve", err);
	if (f->retrieving)
		f->retrieving(f);
	if (!err && f->uses)
		err = luo_flb_get_incoming(&t->luo, &f->uses->flb, &obj);
	args->obj = err ? ERR_PTR(err) : args->flb;
	return err;
}

static void luo_test_flb_finish(struct liveupdate_flb_op_args *args)
{
	struct luo_test_flb *f = luo_test_flb_of(args->flb);
	struct luo_test *t = luo_test_now;
	bool retrieved = args->obj == args->flb;

	luo_test_blob_free(t, args->data);
	luo_test_log(t, f->name, retrieved ? "finish" : "free", 0);
	if (retrieved && f->uses)
		luo_flb_put_incoming(&t->luo, &f->uses->flb);
}

/* What is handed over becomes another blob. */
static int luo_test_flb_carry(struct liveupdate_flb_op_args *args)
{
	struct luo_test_flb *f = luo_test_flb_of(args->flb);
	struct luo_test *t = luo_test_now;
	int err = luo_test_step(t);
	void *obj;

	luo_test_log(t, f->name, "carry", err);
	if (!err && f->looks_at) {
		err = luo_flb_get_outgoing(&t->luo, &f->looks_at->flb, &obj);
		KUNIT_EXPECT_EQ(t->test, err, 0);
		luo_flb_put_outgoing(&t->luo, &f->looks_at->flb);
	}
	KUNIT_EXPECT_PTR_EQ(t->test, args->incoming, args->flb);
	KUNIT_EXPECT_EQ(t->test, (unsigned long)args->obj, args->data);
	if (err) {
		args->data = U64_MAX;
		return err;
	}
	luo_test_blob_free(t, args->data);
	luo_test_flb_set_data(args, luo_test_blob_new(t, 1));
	return 0;
}

static void luo_test_flb_uncarry(struct liveupdate_flb_op_args *args)
{
	struct luo_test *t = luo_test_now;

	luo_test_log(t, luo_test_flb_of(args->flb)->name, "uncarry", 0);
	KUNIT_EXPECT_PTR_EQ(t->test, args->incoming, args->flb);
	KUNIT_EXPECT_EQ(t->test, luo_test_blob_free(t, args->data), 1);
	luo_test_flb_set_data(args, luo_test_blob_new(t, 0));
}

static const struct liveupdate_flb_ops luo_test_flb_ops = {
	.preserve	= luo_test_flb_preserve,
	.unpreserve	= luo_test_flb_unpreserve,
	.retrieve	= luo_test_flb_retrieve,
	.finish		= luo_test_flb_finish,
};

/**
 * luo_test_flb_new - Make an FLB and don't register it.
 * @t:    Test.
 * @name: Name, and what the log calls it.
 *
 * Return: the FLB; its ops may be changed.
 */
struct luo_test_flb *luo_test_flb_new(struct luo_test *t, const char *name)
{
	struct luo_test_flb *f = kunit_kzalloc(t->test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(t->test, f);
	f->name = name;
	f->ops = luo_test_flb_ops;
	f->ops.owner = t->module;
	f->flb.ops = &f->ops;
	strscpy((char *)f->flb.compatible, name, sizeof(f->flb.compatible));
	return f;
}

/**
 * luo_test_flb - Make an FLB that a handler's files depend on.
 * @t:    Test.
 * @h:    Handler.
 * @name: Name, and what the log calls it.
 *
 * Return: the FLB.
 */
struct luo_test_flb *luo_test_flb(struct luo_test *t, struct luo_test_handler *h,
				  const char *name)
{
	struct luo_test_flb *f = luo_test_flb_new(t, name);

	KUNIT_ASSERT_EQ(t->test, luo_flb_register(&t->luo, &h->fh, &f->flb), 0);
	return f;
}

/**
 * luo_test_flb_can_carry - Give an FLB the operations for that.
 * @f: FLB.
 */
void luo_test_flb_can_carry(struct luo_test_flb *f)
{
	f->ops.carry = luo_test_flb_carry;
	f->ops.uncarry = luo_test_flb_uncarry;
}

/* Hands over session "s" with tokens 1 to @n of @h. */
void luo_test_hand_over_again(struct luo_test *t, struct luo_test_handler *h, u64 n)
{
	struct liveupdate_session *s = luo_test_create(t, "s");
	u64 token;

	for (token = 1; token <= n; token++)
		luo_test_preserve_new(t, s, h, token);
	luo_test_freeze_and_jump(t);
}

struct luo_test_handler *luo_test_hand_over(struct luo_test *t, u64 n)
{
	struct luo_test_handler *h = luo_test_handler(t, "h");

	luo_test_hand_over_again(t, h, n);
	return h;
}

/**
 * luo_test_hand_over_four - Hand over sessions "a" to "d".
 * @t: Test.
 *
 * Each has a file of the token 1 and of handler "h", which is there afterwards.
 *
 * Return: the records of the sessions.
 */
struct luo_session_ser *luo_test_hand_over_four(struct luo_test *t)
{
	struct luo_test_handler *h = luo_test_handler(t, "h");
	char name[] = "a";

	for (; name[0] <= 'd'; name[0]++)
		luo_test_preserve_new(t, luo_test_create(t, name), h, 1);
	luo_test_freeze_and_jump(t);
	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	return (void *)((struct luo_block_ser *)phys_to_virt(t->luo.root->sessions) + 1);
}

/**
 * luo_test_hand_over_flb - Hand over session "s" with files of handler "h", which
 * depend on FLB "f".
 * @t: Test.
 * @n: Number of files; their tokens count from 1.
 * @f: Gets the FLB.
 *
 * Return: the handler, as @f to be registered with the instance that took over.
 */
struct luo_test_handler *luo_test_hand_over_flb(struct luo_test *t, u64 n,
						struct luo_test_flb **f)
{
	struct luo_test_handler *h = luo_test_handler(t, "h");
	struct liveupdate_session *s = luo_test_create(t, "s");
	u64 token;

	*f = luo_test_flb(t, h, "f");
	for (token = 1; token <= n; token++)
		luo_test_preserve_new(t, s, h, token);
	luo_test_freeze_and_jump(t);
	return h;
}

/**
 * luo_test_take_over_flb - Register a handler and its FLB.
 * @t: Test.
 * @h: Handler.
 * @f: FLB.
 */
void luo_test_take_over_flb(struct luo_test *t, struct luo_test_handler *h,
			    struct luo_test_flb *f)
{
	KUNIT_ASSERT_EQ(t->test, luo_handler_register(&t->luo, &h->fh), 0);
	KUNIT_ASSERT_EQ(t->test, luo_flb_register(&t->luo, &h->fh, &f->flb), 0);
}

/* ---- sessions ---- */

/**
 * luo_test_create - Make an outgoing session.
 * @t:    Test.
 * @name: Name.
 *
 * Return: the session.
 */
struct liveupdate_session *luo_test_create(struct luo_test *t, const char *name)
{
	struct liveupdate_session *session = luo_session_create(&t->luo, name);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(t->test, session);
	return session;
}

/**
 * luo_test_retrieve - Get an incoming session.
 * @t:    Test.
 * @name: Name.
 *
 * Return: the session.
 */
struct liveupdate_session *luo_test_retrieve(struct luo_test *t, const char *name)
{
	struct liveupdate_session *session = luo_session_retrieve(&t->luo, name);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(t->test, session);
	return session;
}

int luo_test_preserve(struct liveupdate_session *session, struct file *file,
		      u64 token)
{
	guard(mutex)(&session->lock);
	return luo_file_preserve(session, file, token);
}

/**
 * luo_test_preserve_new - Preserve a file that nobody else has.
 * @t:       Test.
 * @session: Outgoing session.
 * @h:       Handler.
 * @token:   Its token, and what the log calls it.
 */
void luo_test_preserve_new(struct luo_test *t, struct liveupdate_session *session,
			   struct luo_test_handler *h, u64 token)
{
	struct file *file = luo_test_file_open(t, h, token);
	int err;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(t->test, file);
	err = luo_test_preserve(session, file, token);
	fput(file);
	KUNIT_ASSERT_EQ(t->test, err, 0);
}

int luo_test_unpreserve(struct liveupdate_session *session, u64 token)
{
	guard(mutex)(&session->lock);
	return luo_file_unpreserve(session, token);
}

/* The file is the one that was preserved as @token, or there is an error. */
int luo_test_retrieve_file(struct liveupdate_session *session, u64 token)
{
	struct luo_test *t = luo_test_now;
	struct luo_test_file *tf;
	struct file *file;
	int err;

	mutex_lock(&session->lock);
	err = luo_file_retrieve(session, token, &file);
	mutex_unlock(&session->lock);
	if (err)
		return err;

	tf = file->private_data;
	KUNIT_EXPECT_EQ(t->test, tf->id, token);
	fput(file);
	return 0;
}

int luo_test_finish(struct liveupdate_session *session)
{
	guard(mutex)(&session->lock);
	return luo_session_finish(session, NULL);
}

/* ---- what is handed over ---- */

static void luo_test_show_files(struct luo_test *t, struct seq_buf *seq, u64 pa)
{
	const struct luo_block_ser *block;
	const struct luo_file_ser *file;
	u64 i;

	for (; pa; pa = block->next) {
		block = luo_test_page_at(t, pa);
		if (!block) {
			seq_buf_puts(seq, "?");
			return;
		}
		file = (const void *)(block + 1);
		for (i = 0; i < block->count; i++, file++)
			seq_buf_printf(seq, "%s%llu:%.48s", i ? " " : "",
				       file->token, file->handler);
		if (block->next)
			seq_buf_puts(seq, " ");
	}
}

static void luo_test_show_sessions(struct luo_test *t, struct seq_buf *seq, u64 pa)
{
	const struct luo_session_ser *session;
	const struct luo_block_ser *block;
	u64 i;

	for (; pa; pa = block->next) {
		block = luo_test_page_at(t, pa);
		if (!block) {
			seq_buf_puts(seq, "?");
			return;
		}
		session = (const void *)(block + 1);
		for (i = 0; i < block->count; i++, session++) {
			seq_buf_printf(seq, "%s%.64s{", seq->len ? " " : "",
				       session->name);
			luo_test_show_files(t, seq, session->files);
			seq_buf_puts(seq, "}");
		}
	}
}

static void luo_test_show_flbs(struct luo_test *t, struct seq_buf *seq, u64 pa)
{
	const struct luo_flb_page_ser *page = luo_test_page_at(t, pa);
	u64 i;

	if (!page) {
		seq_buf_puts(seq, pa ? "?" : "");
		return;
	}
	for (i = 0; i < page->count; i++)
		seq_buf_printf(seq, "%s%.48s=%llu", seq->len ? " " : "",
			       page->flb[i].name, page->flb[i].count);
}

/**
 * luo_test_handed_over - Read what the next kernel would.
 * @t: Test.
 *
 * Return: name{token:handler ...} for each session, name=files for each FLB.
 */
const char *luo_test_handed_over(struct luo_test *t)
{
	struct seq_buf *seq = &t->handed_over.seq;

	seq_buf_clear(seq);
	luo_test_show_sessions(t, seq, t->luo.root->sessions);
	luo_test_show_flbs(t, seq, t->luo.root->flb);
	return seq_buf_str(seq);
}

static void luo_test_show_session(struct luo_test *t, struct seq_buf *seq,
				  struct liveupdate_session *session)
{
	struct luo_file *f;
	u64 seqno = 0;

	seq_buf_printf(seq, "%s state %d keep %d files %llu:", session->name,
		       session->state, session->keep_on_close,
		       session->files.count);
	while ((f = luo_file_next(&session->files, seqno))) {
		seq_buf_printf(seq, " %llu(%d %d %llu %d %u)", f->token, f->state,
			       f->retrieve_status,
			       luo_file_is_engaged(f) ? f->outgoing.data :
							f->incoming.data,
			       !!f->handler, f->dependents);
		seqno = f->seq + 1;
	}
	seq_buf_puts(seq, "\n");
}

static unsigned int luo_test_pins(struct luo_test *t)
{
#ifdef CONFIG_MODULE_UNLOAD
	return module_refcount(t->module);
#else
	return 0;
#endif
}

static void luo_test_show_luo(struct luo_test *t, struct seq_buf *seq)
{
	struct liveupdate_file_handler *fh;
	size_t freezable = 0;
	struct luo_flb *f;
	unsigned int i;

	seq_buf_printf(seq, "out %llu/%llu in %llu/%llu retrieved %llu\n",
		       t->luo.count[LUO_OUTGOING].sessions,
		       t->luo.count[LUO_OUTGOING].files,
		       t->luo.count[LUO_INCOMING].sessions,
		       t->luo.count[LUO_INCOMING].files, t->luo.retrieved_files);
	list_for_each_entry(fh, &t->luo.handlers, node)
		seq_buf_printf(seq, "%s files %lu\n", fh->compatible, fh->files);
	list_for_each_entry(f, &t->luo.flbs, node)
		seq_buf_printf(seq, "%s out %d %llu in %d %llu pins %u\n", f->name,
			       f->out.state, f->out.files, f->in.state,
			       f->in.files, f->pins);
	/* An FLB page stays once there was a need for it. */
	for (i = 0; i < LUO_DEPENDENCY_DEPTH; i++)
		freezable += list_count_nodes(&t->luo.freeze_files[i]);
	seq_buf_printf(seq, "pages %u blobs %u pins %u freezable %zu lost %llu frozen %d\n",
		       luo_test_pages(t) - !!t->luo.flb_page, luo_test_blobs(t),
		       luo_test_pins(t), freezable, t->luo.lost_files,
		       t->luo.frozen);
}

/**
 * luo_test_state - Put all that is known of an instance in words.
 * @t: Test.
 *
 * Return: text that lives until the test ends, to be compared with another.
 */
const char *luo_test_state(struct luo_test *t)
{
	struct seq_buf *seq = &t->state.seq;
	struct liveupdate_session *session;
	u64 seqno = 0;

	seq_buf_clear(seq);
	while ((session = luo_session_next(&t->luo, seqno))) {
		luo_test_show_session(t, seq, session);
		seqno = session->seq + 1;
		luo_session_put(session);
	}
	luo_test_show_luo(t, seq);
	seq_buf_printf(seq, "%s\n", luo_test_handed_over(t));
	return kunit_kstrdup(t->test, seq_buf_str(seq), GFP_KERNEL);
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

/* ---- the kernel's log ---- */

/**
 * luo_test_kernel_lines - Count lines of the kernel's log.
 * @test: Test.
 * @text: Part of a line.
 *
 * Return: how many of the lines that are still there hold it.
 */
unsigned int luo_test_kernel_lines(struct kunit *test, const char *text)
{
	char *line = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	struct kmsg_dump_iter iter;
	unsigned int n = 0;
	size_t len;

	KUNIT_ASSERT_NOT_NULL(test, line);
	kmsg_dump_rewind(&iter);
	while (kmsg_dump_get_line(&iter, false, line, PAGE_SIZE, &len))
		n += !!strnstr(line, text, len);
	return n;
}

/* ---- allocations that fail ---- */

#if defined(CONFIG_FAILSLAB) && defined(CONFIG_FAIL_PAGE_ALLOC) && \
	defined(CONFIG_FAULT_INJECTION_DEBUG_FS)

struct luo_test_knob {
	const char *path;
	const char *value;
};

/* Allocations that may sleep fail too, and nothing is printed. */
static const struct luo_test_knob luo_test_slab_fails[] = {
	{ "failslab/verbose", "0" },
	{ "failslab/ignore-gfp-wait", "N" },
	{}
};

static const struct luo_test_knob luo_test_pages_fail[] = {
	{ "fail_page_alloc/verbose", "0" },
	{ "fail_page_alloc/min-order", "0" },
	{ "fail_page_alloc/ignore-gfp-wait", "N" },
	{}
};

static const struct luo_test_knob luo_test_pages_do_not_fail[] = {
	{ "fail_page_alloc/ignore-gfp-wait", "Y" },
	{}
};

static int luo_test_turn_knob(struct vfsmount *mnt, char __user *text,
			      const struct luo_test_knob *knob)
{
	struct file *file = file_open_root_mnt(mnt, knob->path, O_WRONLY, 0);
	size_t len = strlen(knob->value);
	loff_t pos = 0;
	ssize_t n;

	if (IS_ERR(file))
		return PTR_ERR(file);
	n = copy_to_user(text, knob->value, len) ? 0 : vfs_write(file, text, len, &pos);
	fput(file);
	return n == len ? 0 : -EIO;
}

/* Files of debugfs are written from user memory only. */
static int luo_test_turn_knobs(struct kunit *test, const struct luo_test_knob *knob)
{
	struct vfsmount *mnt = kern_mount(get_fs_type("debugfs"));
	unsigned long addr;
	int err = 0;

	if (IS_ERR(mnt))
		return PTR_ERR(mnt);

	addr = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	if (!addr || IS_ERR_VALUE(addr))
		err = -ENOMEM;
	for (; !err && knob->path; knob++)
		err = luo_test_turn_knob(mnt, (char __user *)addr, knob);
	flush_delayed_fput();
	kern_unmount(mnt);
	return err;
}

/**
 * luo_test_need_fail_alloc - Skip the test if allocations can't be made to fail.
 * @t: Test.
 */
void luo_test_need_fail_alloc(struct luo_test *t)
{
	int err = luo_test_turn_knobs(t->test, luo_test_slab_fails);

	if (err)
		kunit_skip(t->test, "failslab can't be set up: %pe", ERR_PTR(err));
}

/**
 * luo_test_page_failures - Let luo_test_fail_alloc() count pages as well.
 * @test: Test; skipped if that is not possible.
 * @on:   Begin or end.
 */
void luo_test_page_failures(struct kunit *test, bool on)
{
	int err = luo_test_turn_knobs(test, on ? luo_test_pages_fail :
						 luo_test_pages_do_not_fail);

	if (err)
		kunit_skip(test, "fail_page_alloc can't be set up: %pe", ERR_PTR(err));
}

/**
 * luo_test_fail_alloc - Make an allocation of this task fail.
 * @nth: Which, counted from 1.
 */
void luo_test_fail_alloc(unsigned int nth)
{
	WRITE_ONCE(current->fail_nth, nth);
}

/**
 * luo_test_fail_alloc_done - End luo_test_fail_alloc().
 *
 * Return: true if the allocation came and failed.
 */
bool luo_test_fail_alloc_done(void)
{
	bool done = !READ_ONCE(current->fail_nth);

	WRITE_ONCE(current->fail_nth, 0);
	return done;
}

#else

void luo_test_need_fail_alloc(struct luo_test *t)
{
	luo_test_page_failures(t->test, true);
}

void luo_test_page_failures(struct kunit *test, bool on)
{
	kunit_skip(test, "needs FAILSLAB, FAIL_PAGE_ALLOC and FAULT_INJECTION_DEBUG_FS");
}

void luo_test_fail_alloc(unsigned int nth)
{
}

bool luo_test_fail_alloc_done(void)
{
	return false;
}

#endif
