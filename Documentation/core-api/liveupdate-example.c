// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/tally: a number per open file, read and written as 8 bytes. It survives
 * live update.
 */

#include <linux/anon_inodes.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

/* All but the lock is under the lock. */
struct tally {
	struct mutex lock;
	u64 value;
	bool frozen;
};

#define TALLY_MAGIC	0x31796c6c6174ULL

/* What the next kernel reads. */
struct tally_ser {
	u64 magic;
	u64 value;
};

/* ---- the device ---- */

static int tally_open(struct inode *inode, struct file *file)
{
	struct tally *tally = kzalloc(sizeof(*tally), GFP_KERNEL_ACCOUNT);

	if (!tally)
		return -ENOMEM;
	mutex_init(&tally->lock);
	file->private_data = tally;
	return 0;
}

static int tally_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static ssize_t tally_read(struct file *file, char __user *buf, size_t len,
			  loff_t *pos)
{
	struct tally *tally = file->private_data;

	guard(mutex)(&tally->lock);
	*pos = 0;
	return simple_read_from_buffer(buf, len, pos, &tally->value,
				       sizeof(tally->value));
}

static ssize_t tally_write(struct file *file, const char __user *buf, size_t len,
			   loff_t *pos)
{
	struct tally *tally = file->private_data;

	guard(mutex)(&tally->lock);
	if (tally->frozen)
		return -EBUSY;
	*pos = 0;
	return simple_write_to_buffer(&tally->value, sizeof(tally->value), pos,
				      buf, len);
}

static const struct file_operations tally_fops = {
	.owner		= THIS_MODULE,
	.open		= tally_open,
	.release	= tally_release,
	.read		= tally_read,
	.write		= tally_write,
};

/* ---- the old kernel's side ---- */

static bool tally_can_preserve(struct liveupdate_file_handler *handler,
			       struct file *file)
{
	return file->f_op == &tally_fops;
}

static int tally_preserve(struct liveupdate_file_op_args *args)
{
	struct tally_ser *ser = kho_alloc_preserve(sizeof(*ser));

	if (IS_ERR(ser))
		return PTR_ERR(ser);

	ser->magic = TALLY_MAGIC;
	args->private_data = ser;
	args->serialized_data = virt_to_phys(ser);
	args->preserved_bytes = sizeof(*ser);
	return 0;
}

static void tally_unpreserve(struct liveupdate_file_op_args *args)
{
	kho_unpreserve_free(args->private_data);
}

/* The number could change until now, and can't any more. */
static int tally_freeze(struct liveupdate_file_op_args *args)
{
	struct tally *tally = args->file->private_data;
	struct tally_ser *ser = args->private_data;

	guard(mutex)(&tally->lock);
	tally->frozen = true;
	ser->value = tally->value;
	return 0;
}

static void tally_unfreeze(struct liveupdate_file_op_args *args)
{
	struct tally *tally = args->file->private_data;

	guard(mutex)(&tally->lock);
	tally->frozen = false;
}

/* ---- the new kernel's side ---- */

/* A damaged handle may name a page of somebody else. */
static struct tally_ser *tally_peek(u64 handle)
{
	struct tally_ser *ser = kho_peek(handle, sizeof(*ser));

	return ser && ser->magic == TALLY_MAGIC ? ser : NULL;
}

/* Everything that can fail comes before the preserved page is given up. */
static int tally_retrieve(struct liveupdate_file_op_args *args)
{
	struct tally_ser *ser = tally_peek(args->serialized_data);
	struct tally *tally;
	struct file *file;

	if (!ser)
		return -EBADMSG;

	tally = kzalloc(sizeof(*tally), GFP_KERNEL_ACCOUNT);
	if (!tally)
		return -ENOMEM;
	mutex_init(&tally->lock);
	tally->value = ser->value;

	file = anon_inode_getfile("[tally]", &tally_fops, tally, O_RDWR);
	if (IS_ERR(file)) {
		kfree(tally);
		return PTR_ERR(file);
	}
	kho_restore_free(ser);
	args->file = file;
	return 0;
}

static void tally_finish(struct liveupdate_file_op_args *args)
{
	if (args->retrieve_status != 1)
		kho_restore_free(tally_peek(args->serialized_data));
}

static const struct liveupdate_file_ops tally_luo_ops = {
	.can_preserve	= tally_can_preserve,
	.preserve	= tally_preserve,
	.unpreserve	= tally_unpreserve,
	.freeze		= tally_freeze,
	.unfreeze	= tally_unfreeze,
	.retrieve	= tally_retrieve,
	.finish		= tally_finish,
	.owner		= THIS_MODULE,
};

static struct liveupdate_file_handler tally_handler = {
	.ops		= &tally_luo_ops,
	.compatible	= "tally-v1",
};

/* ---- module ---- */

static struct miscdevice tally_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "tally",
	.fops	= &tally_fops,
};

static int __init tally_init(void)
{
	int err = misc_register(&tally_device);

	if (err)
		return err;

	/* Without live update the device works all the same. */
	err = liveupdate_register_file_handler(&tally_handler);
	if (err && err != -EOPNOTSUPP) {
		misc_deregister(&tally_device);
		return err;
	}
	return 0;
}
module_init(tally_init);

static void __exit tally_exit(void)
{
	liveupdate_unregister_file_handler(&tally_handler);
	misc_deregister(&tally_device);
}
module_exit(tally_exit);

MODULE_DESCRIPTION("A number that survives live update");
MODULE_LICENSE("GPL");
