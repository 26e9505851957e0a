// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of an agent that never answers, as that of a FUSE file whose server has
 * gone: whoever gave it to the kernel waits, and holds nobody else up.
 */

#include <kunit/test.h>
#include <linux/anon_inodes.h>
#include <linux/completion.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_context.h>
#include <linux/pagemap.h>
#include <linux/uaccess.h>
#include <uapi/linux/liveupdate.h>

#include "luo_test.h"

/* A page that can be read; who writes to it waits for an answer. */
static struct page *silent_page;
static struct completion silent_asked, silent_answered;
static u8 __user *silent;
/* A page that does what one expects. */
static u8 __user *plain;

static vm_fault_t silent_fault(struct vm_fault *vmf)
{
	get_page(silent_page);
	vmf->page = silent_page;
	return 0;
}

static vm_fault_t silent_mkwrite(struct vm_fault *vmf)
{
	complete(&silent_asked);
	wait_for_completion(&silent_answered);
	lock_page(vmf->page);
	return VM_FAULT_LOCKED;
}

static const struct vm_operations_struct silent_vm_ops = {
	.fault		= silent_fault,
	.page_mkwrite	= silent_mkwrite,
};

static int silent_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &silent_vm_ops;
	return 0;
}

static const struct file_operations silent_fops = {
	.mmap	= silent_mmap,
};

static void silent_free(void *page)
{
	__free_page(page);
}

static u8 __user *map(struct kunit *test, struct file *file, unsigned long flags)
{
	unsigned long addr = kunit_vm_mmap(test, file, 0, PAGE_SIZE,
					   PROT_READ | PROT_WRITE, flags, 0);

	KUNIT_ASSERT_NE_MSG(test, addr, 0, "no user memory");
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	return (u8 __user *)addr;
}

static int silent_suite_init(struct kunit *test)
{
	struct file *file;

	luo_test_init(test);
	init_completion(&silent_asked);
	init_completion(&silent_answered);
	silent_page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, silent_page);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, silent_free, silent_page), 0);

	file = anon_inode_getfile("[luo_silent]", &silent_fops, NULL, O_RDWR);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	silent = map(test, file, MAP_SHARED);
	fput(file);
	plain = map(test, NULL, MAP_ANONYMOUS | MAP_PRIVATE);
	return 0;
}

struct agent {
	struct luo *luo;
	struct liveupdate_session *session;
	struct mm_struct *mm;
	unsigned int cmd;
	u8 __user *arg;
	struct completion done;
	long err;
};

static int be_agent(void *arg)
{
	struct agent *a = arg;

	kthread_use_mm(a->mm);
	a->err = luo_ioctl(a->luo, a->session, a->cmd, a->arg);
	kthread_unuse_mm(a->mm);
	complete(&a->done);
	return 0;
}

struct silent_row {
	const char *name;
	unsigned int cmd;
	bool on_session;
	/* The argument is silent, or the entries it leads to are. */
	bool silent_arg;
	long err;
};

static const struct silent_row silent_rows[] = {
	/* Its name is taken. */
	{ "fd of a new session", LIVEUPDATE_IOCTL_CREATE_SESSION, false, true, -EEXIST },
	{ "fd of an old session", LIVEUPDATE_IOCTL_RETRIEVE_SESSION, false, true, -ENOENT },
	{ "answer", LIVEUPDATE_IOCTL_GET_INFO, false, true, 0 },
	{ "list of sessions", LIVEUPDATE_IOCTL_LIST_SESSIONS, false, false, 0 },
	{ "list of files", LIVEUPDATE_SESSION_LIST_FILES, true, false, 0 },
};
KUNIT_ARRAY_PARAM_DESC(silent, silent_rows, name);

static void put_list(struct kunit *test)
{
	const struct liveupdate_ioctl_list_sessions list = {
		.size = sizeof(list),
		.count = 2,
		.entries = (unsigned long)silent,
	};

	KUNIT_ASSERT_EQ(test, copy_to_user(plain, &list, sizeof(list)), 0);
}

static void put_argument(const struct silent_row *row)
{
	struct liveupdate_ioctl_create_session *arg = page_address(silent_page);

	if (row->cmd == LIVEUPDATE_IOCTL_GET_INFO) {
		arg->size = sizeof(struct liveupdate_ioctl_get_info);
		return;
	}
	arg->size = sizeof(*arg);
	strscpy((char *)arg->name, "s", sizeof(arg->name));
}

static void expect_nobody_inside(struct kunit *test, struct liveupdate_session *s)
{
	struct luo *luo = &luo_test_of(test)->luo;
	bool free;

	free = down_write_trylock(&luo->gate);
	KUNIT_EXPECT_TRUE_MSG(test, free, "the gate is held");
	if (free)
		up_write(&luo->gate);
	free = mutex_trylock(&s->lock);
	KUNIT_EXPECT_TRUE_MSG(test, free, "the session is locked");
	if (free)
		mutex_unlock(&s->lock);
	free = mutex_trylock(&luo->lock);
	KUNIT_EXPECT_TRUE_MSG(test, free, "the instance is locked");
	if (free)
		mutex_unlock(&luo->lock);
}

static void memory_that_never_answers_holds_nobody_up(struct kunit *test)
{
	const struct silent_row *row = test->param_value;
	struct luo_test *t = luo_test_of(test);
	struct liveupdate_session *s = luo_test_create(t, "s");
	struct agent a = {
		.luo = &t->luo,
		.session = row->on_session ? s : NULL,
		.mm = current->mm,
		.cmd = row->cmd,
		.arg = row->silent_arg ? silent : plain,
	};
	struct task_struct *task;

	luo_test_preserve_new(t, s, luo_test_handler(t, "h"), 1);
	if (row->silent_arg)
		put_argument(row);
	else
		put_list(test);
	init_completion(&a.done);
	task = kthread_run(be_agent, &a, "luo_agent");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&silent_asked, 10 * HZ), 0);
	expect_nobody_inside(test, s);
	complete_all(&silent_answered);
	wait_for_completion(&a.done);
	KUNIT_EXPECT_EQ(test, a.err, row->err);
}

static struct kunit_case luo_silent_cases[] = {
	KUNIT_CASE_PARAM(memory_that_never_answers_holds_nobody_up, silent_gen_params),
	{}
};

static struct kunit_suite luo_silent_suite = {
	.name = "luo_silent",
	.init = silent_suite_init,
	.exit = luo_test_exit,
	.test_cases = luo_silent_cases,
};
kunit_test_suite(luo_silent_suite);
