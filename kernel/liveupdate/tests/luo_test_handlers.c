// SPDX-License-Identifier: GPL-2.0-only
/*
 * File handlers whose every callback can be told to fail.
 *
 * /dev/luo-test-v1, -v2 and -v3 give a new file at each open: a page that
 * survives, whose second word counts how often the file was settled, and whose
 * third says if nobody could change the root tree any more when it was. Those of
 * v2 and v3 depend on one FLB. In debugfs:
 *
 * liveupdate_test/fail	Write "HANDLER OP N ERRNO": the Nth call of OP from now
 *			fails with that errno, once, or every call if N is 0;
 *			for can_finish it says no. The FLB's name is a HANDLER
 *			too. "0" forgets all. The parameter fail= takes the
 *			same, separated by commas.
 * liveupdate_test/log	The callbacks, oldest first: "HANDLER OP VALUE ERR" with
 *			the first eight bytes of the file as VALUE. A write
 *			empties it.
 * liveupdate_test/flb	The number in the FLB that came in, twice that if files
 *			were carried over with it; ENODATA if there is none.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../../kexec_handover_internal.h"

/* ---- what fails ---- */

#define OPS_NAME	16
#define RULES_MAX	16
#define LOG_MAX		512

/* Without an errno it is free. */
struct rule {
	char who[LUO_HANDLER_NAME_LENGTH];
	char op[OPS_NAME];
	unsigned int left;
	int err;
};

struct log_entry {
	const char *who;
	const char *op;
	u64 value;
	int err;
};

/* Guards all below. */
static DEFINE_MUTEX(control_lock);
static struct rule rules[RULES_MAX];
static struct log_entry log_entries[LOG_MAX];
static unsigned int log_count, log_lost;

static struct dentry *control_dir;

static void log_add(const char *who, const char *op, u64 value, int err)
{
	if (log_count == LOG_MAX) {
		log_lost++;
		return;
	}
	log_entries[log_count++] = (struct log_entry) { who, op, value, err };
}

static int rule_apply(struct rule *rule)
{
	int err = rule->err;

	if (!rule->left)
		return -err;
	if (--rule->left)
		return 0;
	rule->err = 0;
	return -err;
}

static int rules_apply(const char *who, const char *op)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < RULES_MAX && !err; i++) {
		if (!strcmp(rules[i].who, who) && !strcmp(rules[i].op, op))
			err = rule_apply(&rules[i]);
	}
	return err;
}

/* Every callback begins here. */
static int called(const char *who, const char *op, u64 value)
{
	int err;

	guard(mutex)(&control_lock);
	err = rules_apply(who, op);
	log_add(who, op, value, err);
	return err;
}

static int rule_add(const struct rule *rule)
{
	unsigned int i;

	for (i = 0; i < RULES_MAX; i++) {
		if (!rules[i].err) {
			rules[i] = *rule;
			return 0;
		}
	}
	return -ENOSPC;
}

static int rule_parse(const char *text)
{
	struct rule rule = {};

	guard(mutex)(&control_lock);
	if (!strcmp(text, "0")) {
		memset(rules, 0, sizeof(rules));
		return 0;
	}
	if (sscanf(text, "%47s %15s %u %d", rule.who, rule.op, &rule.left,
		   &rule.err) != 4 || rule.err <= 0 || rule.err > MAX_ERRNO)
		return -EINVAL;
	return rule_add(&rule);
}

static ssize_t fail_write(struct file *file, const char __user *buf, size_t len,
			  loff_t *pos)
{
	char text[128];
	ssize_t n = strncpy_from_user(text, buf, min(len + 1, sizeof(text)));
	int err;

	if (n < 0)
		return n;
	if (len >= sizeof(text))
		return -E2BIG;
	text[len] = 0;
	err = rule_parse(strim(text));
	return err ?: len;
}

static int fail_show(struct seq_file *m, void *v)
{
	unsigned int i;

	guard(mutex)(&control_lock);
	for (i = 0; i < RULES_MAX; i++) {
		if (rules[i].err)
			seq_printf(m, "%s %s %u %d\n", rules[i].who, rules[i].op,
				   rules[i].left, rules[i].err);
	}
	return 0;
}

static int fail_open(struct inode *inode, struct file *file)
{
	return single_open(file, fail_show, NULL);
}

static const struct file_operations fail_fops = {
	.owner		= THIS_MODULE,
	.open		= fail_open,
	.read		= seq_read,
	.write		= fail_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static ssize_t log_write(struct file *file, const char __user *buf, size_t len,
			 loff_t *pos)
{
	guard(mutex)(&control_lock);
	log_count = 0;
	log_lost = 0;
	return len;
}

static int log_show(struct seq_file *m, void *v)
{
	const struct log_entry *e;

	guard(mutex)(&control_lock);
	for (e = log_entries; e < log_entries + log_count; e++)
		seq_printf(m, "%s %s %llu %d\n", e->who, e->op, e->value, e->err);
	if (log_lost)
		seq_printf(m, "lost %u\n", log_lost);
	return 0;
}

static int log_open(struct inode *inode, struct file *file)
{
	return single_open(file, log_show, NULL);
}

static const struct file_operations log_fops = {
	.owner		= THIS_MODULE,
	.open		= log_open,
	.read		= seq_read,
	.write		= log_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static char *fail;
module_param(fail, charp, 0400);
MODULE_PARM_DESC(fail, "HANDLER OP N ERRNO, ...: what fails from the start");

static int rules_from_parameter(void)
{
	char *text __free(kfree) = kstrdup(fail ?: "", GFP_KERNEL);
	char *rest = text;
	char *one;
	int err;

	if (!text)
		return -ENOMEM;
	while ((one = strsep(&rest, ","))) {
		if (!*one)
			continue;
		err = rule_parse(strim(one));
		if (err) {
			pr_err("fail=%s: not HANDLER OP N ERRNO\n", one);
			return err;
		}
	}
	return 0;
}

/* ---- files ---- */

enum version {
	V1,
	V2,
	V3,
	VERSIONS,
};

struct kind {
	struct miscdevice device;
	struct liveupdate_file_handler handler;
};

static struct kind kinds[VERSIONS];

struct test_file {
	struct kind *kind;
	/* Guards what is below; taken inside of the session's lock. */
	struct mutex lock;
	u8 *page;
	bool frozen;
};

static u64 file_value(const struct test_file *f)
{
	return *(const u64 *)f->page;
}

static ssize_t file_read(struct file *file, char __user *buf, size_t len,
			 loff_t *pos)
{
	struct test_file *f = file->private_data;

	guard(mutex)(&f->lock);
	return simple_read_from_buffer(buf, len, pos, f->page, PAGE_SIZE);
}

static ssize_t file_write(struct file *file, const char __user *buf, size_t len,
			  loff_t *pos)
{
	struct test_file *f = file->private_data;

	guard(mutex)(&f->lock);
	if (f->frozen)
		return -EBUSY;
	return simple_write_to_buffer(f->page, PAGE_SIZE, pos, buf, len);
}

static struct test_file *test_file_new(struct kind *kind, void *page)
{
	struct test_file *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (!f)
		return NULL;

	f->kind = kind;
	f->page = page;
	mutex_init(&f->lock);
	return f;
}

static int file_open(struct inode *inode, struct file *file)
{
	struct kind *kind = container_of(file->private_data, struct kind, device);
	void *page = (void *)get_zeroed_page(GFP_KERNEL);
	struct test_file *f;

	if (!page)
		return -ENOMEM;

	f = test_file_new(kind, page);
	if (!f) {
		free_page((unsigned long)page);
		return -ENOMEM;
	}
	file->private_data = f;
	return 0;
}

static int file_release(struct inode *inode, struct file *file)
{
	struct test_file *f = file->private_data;

	free_page((unsigned long)f->page);
	kfree(f);
	return 0;
}

static const struct file_operations file_fops = {
	.owner		= THIS_MODULE,
	.open		= file_open,
	.release	= file_release,
	.read		= file_read,
	.write		= file_write,
	.llseek		= default_llseek,
};

/* ---- handlers ---- */

/* Whose a page is: at its end, where no test writes. */
struct test_owner {
	u64 token;
	char name[LUO_SESSION_NAME_LENGTH];
};

static struct test_owner *owner_of(void *page)
{
	return (struct test_owner *)(page + PAGE_SIZE) - 1;
}

static bool handler_can_preserve(struct liveupdate_file_handler *handler,
				 struct file *file)
{
	struct test_file *f = file->private_data;

	return file->f_op == &file_fops && &f->kind->handler == handler;
}

static int handler_preserve(struct liveupdate_file_op_args *args)
{
	struct test_file *f = args->file->private_data;
	int err = called(args->handler->compatible, "preserve", file_value(f));

	if (err)
		return err;

	err = kho_preserve_pages(virt_to_page(f->page), 1);
	if (err)
		return err;

	owner_of(f->page)->token = args->token;
	memcpy(owner_of(f->page)->name, liveupdate_session_name(args->session),
	       LUO_SESSION_NAME_LENGTH);
	args->serialized_data = virt_to_phys(f->page);
	args->preserved_bytes = PAGE_SIZE;
	return 0;
}

static void handler_unpreserve(struct liveupdate_file_op_args *args)
{
	struct test_file *f = args->file->private_data;

	called(args->handler->compatible, "unpreserve", file_value(f));
	kho_unpreserve_pages(virt_to_page(f->page), 1);
}

static int handler_freeze(struct liveupdate_file_op_args *args)
{
	struct test_file *f = args->file->private_data;
	int err = called(args->handler->compatible, "freeze", file_value(f));

	if (err)
		return err;

	guard(mutex)(&f->lock);
	f->frozen = true;
	return 0;
}

static void handler_unfreeze(struct liveupdate_file_op_args *args)
{
	struct test_file *f = args->file->private_data;

	called(args->handler->compatible, "unfreeze", file_value(f));
	guard(mutex)(&f->lock);
	f->frozen = false;
}

/* No lock may be taken any more. */
static void handler_settle(struct liveupdate_file_op_args *args)
{
	struct test_file *f = args->file->private_data;

	((u64 *)f->page)[1]++;
	((u64 *)f->page)[2] = kho_test_tree_is_held();
}

static void handler_unsettle(struct liveupdate_file_op_args *args)
{
	struct test_file *f = args->file->private_data;

	((u64 *)f->page)[1]--;
}

/* A page of the previous kernel, NULL if @pa is none. */
static u64 *handler_peek(u64 pa)
{
	return kho_peek(pa, PAGE_SIZE);
}

/* That of the file, NULL also if it is another's. */
static u64 *handler_peek_own(const struct liveupdate_file_op_args *args)
{
	u64 *page = handler_peek(args->serialized_data);
	const struct test_owner *owner;

	if (!page)
		return NULL;
	owner = owner_of(page);
	return owner->token == args->token && !owner->name[LUO_SESSION_NAME_LENGTH - 1] &&
	       liveupdate_session_was(args->session, owner->name) ? page : NULL;
}

static int handler_retrieve(struct liveupdate_file_op_args *args)
{
	struct kind *kind = container_of(args->handler, struct kind, handler);
	u64 *page = handler_peek_own(args);
	struct test_file *f;
	struct file *file;
	int err;

	if (!page)
		return -EBADMSG;
	err = called(args->handler->compatible, "retrieve", *page);
	if (err)
		return err;

	f = test_file_new(kind, page);
	if (!f)
		return -ENOMEM;

	file = anon_inode_getfile("[luo_test]", &file_fops, f, O_RDWR);
	if (IS_ERR(file)) {
		kfree(f);
		return PTR_ERR(file);
	}
	file->f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
	/* A damaged record may name the page of another. */
	if (!kho_restore_pages(args->serialized_data, 1)) {
		f->page = NULL;
		fput(file);
		return -EBADMSG;
	}
	args->file = file;
	return 0;
}

static bool handler_can_finish(struct liveupdate_file_op_args *args)
{
	struct test_file *f = args->file ? args->file->private_data : NULL;
	u64 *page = f ? (u64 *)f->page : handler_peek_own(args);

	return !called(args->handler->compatible, "can_finish", page ? *page : 0);
}

static void handler_finish(struct liveupdate_file_op_args *args)
{
	struct test_file *f = args->file ? args->file->private_data : NULL;
	u64 *page = f ? (u64 *)f->page : handler_peek_own(args);

	called(args->handler->compatible, "finish", page ? *page : 0);
	if (!f && page)
		kho_restore_free(page);
	if (!f && !page)
		args->retrieve_status = -EBADMSG;
}

static const struct liveupdate_file_ops handler_ops = {
	.can_preserve	= handler_can_preserve,
	.preserve	= handler_preserve,
	.unpreserve	= handler_unpreserve,
	.freeze		= handler_freeze,
	.unfreeze	= handler_unfreeze,
	.settle		= handler_settle,
	.unsettle	= handler_unsettle,
	.retrieve	= handler_retrieve,
	.can_finish	= handler_can_finish,
	.finish		= handler_finish,
	.owner		= THIS_MODULE,
};

#define KIND(_version)								\
	{									\
		.device = {							\
			.minor = MISC_DYNAMIC_MINOR,				\
			.name = "luo-test-" _version,				\
			.fops = &file_fops,					\
			.mode = 0600,						\
		},								\
		.handler = {							\
			.ops = &handler_ops,					\
			.compatible = "luo-test-" _version,			\
		},								\
	}

static struct kind kinds[VERSIONS] = {
	[V1] = KIND("v1"),
	[V2] = KIND("v2"),
	[V3] = KIND("v3"),
};

/* ---- FLB ---- */

#define FLB_VALUE	0x626c66ULL

static int flb_preserve(struct liveupdate_flb_op_args *args)
{
	int err = called(args->flb->compatible, "preserve", FLB_VALUE);
	u64 *page;

	if (err)
		return err;

	page = kho_alloc_preserve(PAGE_SIZE);
	if (IS_ERR(page))
		return PTR_ERR(page);

	*page = FLB_VALUE;
	args->data = virt_to_phys(page);
	args->obj = page;
	return 0;
}

/* The page of the FLB, NULL if it is none. */
static u64 *flb_peek(const struct liveupdate_flb_op_args *args)
{
	u64 *page = handler_peek(args->data);

	return page && *page == FLB_VALUE ? page : NULL;
}

static void flb_unpreserve(struct liveupdate_flb_op_args *args)
{
	called(args->flb->compatible, "unpreserve", *(u64 *)args->obj);
	kho_unpreserve_free(args->obj);
}

/* From here on the handle is of no use any more. */
static int flb_retrieve(struct liveupdate_flb_op_args *args)
{
	u64 *page = flb_peek(args);
	int err;

	if (!page)
		return -EBADMSG;
	err = called(args->flb->compatible, "retrieve", *page);
	if (err)
		return err;
	if (!kho_restore_folio(args->data))
		return -EBADMSG;

	args->obj = page;
	return 0;
}

static void flb_finish(struct liveupdate_flb_op_args *args)
{
	u64 *page = args->obj ?: flb_peek(args);

	called(args->flb->compatible, "finish", page ? *page : 0);
	if (args->obj)
		folio_put(virt_to_folio(args->obj));
	else if (page)
		kho_restore_free(page);
}

/* The second word says if the page is for files that came in, too. */
static int flb_carry(struct liveupdate_flb_op_args *args)
{
	u64 *in = args->incoming, *out = args->obj;
	int err = called(args->flb->compatible, "carry", *in);

	if (!err)
		out[1] = *in;
	return err;
}

static void flb_uncarry(struct liveupdate_flb_op_args *args)
{
	u64 *out = args->obj;

	called(args->flb->compatible, "uncarry", out[1]);
	out[1] = 0;
}

static const struct liveupdate_flb_ops flb_ops = {
	.preserve	= flb_preserve,
	.unpreserve	= flb_unpreserve,
	.retrieve	= flb_retrieve,
	.finish		= flb_finish,
	.carry		= flb_carry,
	.uncarry	= flb_uncarry,
	.owner		= THIS_MODULE,
};

static struct liveupdate_flb flb = {
	.ops		= &flb_ops,
	.compatible	= "luo-test-flb",
};

#ifdef MODULE
static const struct liveupdate_flb_ops ownerless_ops = {
	.preserve	= flb_preserve,
	.unpreserve	= flb_unpreserve,
	.retrieve	= flb_retrieve,
	.finish		= flb_finish,
};

static struct liveupdate_flb ownerless = {
	.ops		= &ownerless_ops,
	.compatible	= "luo-test-ownerless",
};

/* Nothing would keep this module here while it is needed. */
static int check_ownerless(struct liveupdate_file_handler *handler)
{
	return liveupdate_register_flb(handler, &ownerless) == -EINVAL ? 0 : -EBADE;
}
#else
static int check_ownerless(struct liveupdate_file_handler *handler)
{
	return 0;
}
#endif

static int flb_show(void *data, u64 *value)
{
	void *obj;
	int err = liveupdate_flb_get_incoming(&flb, &obj);

	if (err)
		return err == -ENOENT ? -ENODATA : err;

	*value = ((u64 *)obj)[0] + ((u64 *)obj)[1];
	liveupdate_flb_put_incoming(&flb);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(flb_fops, flb_show, NULL, "%llu\n");

/* ---- module ---- */

static void kinds_remove(unsigned int n)
{
	while (n--) {
		misc_deregister(&kinds[n].device);
		liveupdate_unregister_file_handler(&kinds[n].handler);
	}
}

static int kind_add(struct kind *kind, bool with_flb)
{
	int err = liveupdate_register_file_handler(&kind->handler);

	if (err)
		return err;
	if (with_flb)
		err = liveupdate_register_flb(&kind->handler, &flb);
	else
		err = check_ownerless(&kind->handler);
	if (!err)
		err = misc_register(&kind->device);
	if (err)
		liveupdate_unregister_file_handler(&kind->handler);
	return err;
}

static int __init luo_test_handlers_init(void)
{
	unsigned int i;
	int err = rules_from_parameter();

	for (i = 0; i < VERSIONS && !err; i++) {
		err = kind_add(&kinds[i], i != V1);
		if (err)
			kinds_remove(i);
	}
	if (err)
		return err;

	control_dir = debugfs_create_dir("liveupdate_test", NULL);
	debugfs_create_file("fail", 0600, control_dir, NULL, &fail_fops);
	debugfs_create_file("log", 0600, control_dir, NULL, &log_fops);
	debugfs_create_file_unsafe("flb", 0400, control_dir, NULL, &flb_fops);
	return 0;
}
module_init(luo_test_handlers_init);

static void __exit luo_test_handlers_exit(void)
{
	debugfs_remove_recursive(control_dir);
	kinds_remove(VERSIONS);
}
module_exit(luo_test_handlers_exit);

MODULE_DESCRIPTION("File handlers for testing live update");
MODULE_LICENSE("GPL");
