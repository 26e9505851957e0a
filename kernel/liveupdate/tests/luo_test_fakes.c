// SPDX-License-Identifier: GPL-2.0-only
/* Files, handlers, FLBs and sessions that log what becomes of them; see luo_test.h. */

#include <linux/anon_inodes.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>

#include "../luo_file.h"
#include "../luo_flb.h"
#include "luo_test.h"

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

static void luo_test_log_file(struct luo_test *t,
			      const struct luo_test_handler *h, const char *op,
			      u64 id, int err)
{
	char text[32];

	snprintf(text, sizeof(text), "%s:%llu", op, id);
	luo_test_log(t, h->name, text, err);
}

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

/**
 * luo_test_lock - Lock an incoming session, as drivers do, and unlock it.
 * @t:    Test.
 * @name: Its name.
 *
 * Return: 0, or why it could not be locked.
 */
int luo_test_lock(struct luo_test *t, const char *name)
{
	struct liveupdate_session *s = luo_session_lock_incoming(&t->luo, name);

	if (IS_ERR(s))
		return PTR_ERR(s);
	KUNIT_EXPECT_STREQ(t->test, s->name, name);
	lockdep_assert_held(&s->lock);
	mutex_unlock(&s->lock);
	luo_session_put(s);
	return 0;
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
