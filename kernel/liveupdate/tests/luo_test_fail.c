// SPDX-License-Identifier: GPL-2.0-only
/* Allocations that fail; see luo_test.h. */

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "luo_test.h"

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
