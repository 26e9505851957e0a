// SPDX-License-Identifier: GPL-2.0-only
/*
 * What built-in code is told of what came in, at several levels of initcalls.
 *
 * With luo_early.session=NAME on the command line it asks for that session, for
 * the file that has token 1 in it, for the FLB of luo_test_handlers, which is not
 * loaded then, and for an FLB that nobody has. debugfs liveupdate_early has a
 * line for each level: LEVEL SESSION FILE VALUE FLB VALUE OTHER, errors and the
 * first words.
 *
 * With luo_early.fail_start=1 live update can't start: the first time that its root
 * is to be handed over, memory is short.
 */

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/error-injection.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/kprobes.h>
#include <linux/liveupdate.h>
#include <linux/moduleparam.h>
#include <linux/seq_file.h>

#define LEVELS	4

static struct answer {
	const char *level;
	int session;
	int file;
	u64 file_value;
	int flb;
	u64 flb_value;
	int other;
} answers[LEVELS];

static unsigned int nr_answers;

static char *session;
module_param(session, charp, 0400);
MODULE_PARM_DESC(session, "name of the session to ask for");

/* ---- FLB ---- */

static int flb_preserve(struct liveupdate_flb_op_args *args)
{
	return -EOPNOTSUPP;
}

static void flb_release(struct liveupdate_flb_op_args *args)
{
}

/* Has a look and leaves it to the module. */
static int flb_retrieve(struct liveupdate_flb_op_args *args)
{
	u64 *page = kho_peek(args->data, PAGE_SIZE);

	if (!page)
		return -EBADMSG;
	answers[nr_answers].flb_value = *page;
	return -EAGAIN;
}

static const struct liveupdate_flb_ops flb_ops = {
	.preserve	= flb_preserve,
	.unpreserve	= flb_release,
	.retrieve	= flb_retrieve,
	.finish		= flb_release,
};

static struct liveupdate_flb flb = {
	.ops		= &flb_ops,
	.compatible	= "luo-test-flb",
};

static struct liveupdate_flb other = {
	.ops		= &flb_ops,
	.compatible	= "luo-early-other",
};

/* ---- questions ---- */

static int __init ask_for_file(struct liveupdate_session *s, u64 *value)
{
	struct file *file;
	loff_t pos = 0;
	ssize_t n;
	int err;

	err = liveupdate_get_file_incoming(s, 1, &file);
	if (err)
		return err;

	n = kernel_read(file, value, sizeof(*value), &pos);
	fput(file);
	liveupdate_put_file_incoming(s, 1);
	return n == sizeof(*value) ? 0 : -EIO;
}

static int __init ask(const char *level)
{
	struct answer *answer = &answers[nr_answers];
	struct liveupdate_session *s;
	void *obj;

	if (!session)
		return 0;

	answer->level = level;
	s = liveupdate_lock_incoming(session);
	answer->session = PTR_ERR_OR_ZERO(s);
	if (!IS_ERR(s)) {
		answer->file = ask_for_file(s, &answer->file_value);
		liveupdate_unlock_incoming(s);
	}
	answer->flb = liveupdate_flb_get_incoming(&flb, &obj);
	answer->other = liveupdate_flb_get_incoming(&other, &obj);
	nr_answers++;
	return 0;
}

static int __init ask_early(void)
{
	return ask("early");
}
early_initcall(ask_early);

static int __init ask_postcore(void)
{
	return ask("postcore");
}
postcore_initcall(ask_postcore);

/* The last before buses are scanned. */
static int __init ask_arch(void)
{
	return ask("arch");
}
arch_initcall_sync(ask_arch);

static int __init ask_device(void)
{
	return ask("device");
}
device_initcall(ask_device);

/* ---- failure ---- */

static bool fail_start;
module_param(fail_start, bool, 0400);
MODULE_PARM_DESC(fail_start, "do not let live update start");

#if defined(CONFIG_KPROBES) && defined(CONFIG_FUNCTION_ERROR_INJECTION)

static bool failed;

static int fail_once(struct kprobe *probe, struct pt_regs *regs)
{
	const char *name = (const char *)regs_get_kernel_argument(regs, 0);

	if (failed || strcmp(name, LUO_BLOB_NAME))
		return 0;

	failed = true;
	regs_set_return_value(regs, -ENOMEM);
	override_function_with_return(regs);
	return 1;
}
NOKPROBE_SYMBOL(fail_once);

static struct kprobe fail_probe = {
	.symbol_name	= "kho_add_subtree",
	.pre_handler	= fail_once,
};

/* Before live update starts. */
static int __init luo_early_fail(void)
{
	return fail_start ? register_kprobe(&fail_probe) : 0;
}
core_initcall(luo_early_fail);

#endif

/* ---- answers ---- */

static int luo_early_show(struct seq_file *m, void *v)
{
	const struct answer *a;

	for (a = answers; a < answers + nr_answers; a++)
		seq_printf(m, "%s %d %d %llu %d %llu %d\n", a->level, a->session,
			   a->file, a->file_value, a->flb, a->flb_value, a->other);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(luo_early);

static int __init luo_early_init(void)
{
	if (session)
		debugfs_create_file("liveupdate_early", 0400, NULL, NULL,
				    &luo_early_fops);
	return 0;
}
late_initcall(luo_early_init);
