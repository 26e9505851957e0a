// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/tally: a number per open file, written as 8 bytes. Reading gives it and
 * how many numbers were ever written, to all files together. The ioctl
 * TALLY_MIRROR names a file whose first 8 bytes follow the number. All of this
 * survives live update; a tally with a mirror depends on that file, which has to
 * be in the same session.
 */

#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <uapi/linux/liveupdate.h>

#define TALLY_MIRROR	_IO('T', 0x80)

struct tally {
	/* Guards all below. */
	struct mutex lock;
	u64 value;
	struct file *mirror;
	bool frozen;
};

static atomic64_t tally_writes;

#define TALLY_MAGIC	0x31796c6c6174ULL
#define TALLY_ALL_MAGIC	0x316c6c61ULL

/* What the next kernel reads of a tally, and whose it is, ... */
struct tally_ser {
	u64 magic;
	u64 value;
	u64 has_mirror;
	u64 mirror_token;
	u64 token;
	char session[LIVEUPDATE_SESSION_NAME_LENGTH];
};

/* ... and of all of them. */
struct tally_all_ser {
	u64 magic;
	u64 writes;
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

static void tally_free(struct tally *tally)
{
	if (tally->mirror)
		fput(tally->mirror);
	kfree(tally);
}

static int tally_release(struct inode *inode, struct file *file)
{
	tally_free(file->private_data);
	return 0;
}

static ssize_t tally_read(struct file *file, char __user *buf, size_t len,
			  loff_t *pos)
{
	struct tally *tally = file->private_data;
	u64 values[2];

	guard(mutex)(&tally->lock);
	values[0] = tally->value;
	values[1] = atomic64_read(&tally_writes);
	*pos = 0;
	return simple_read_from_buffer(buf, len, pos, values, sizeof(values));
}

static int tally_set(struct tally *tally, u64 value)
{
	loff_t pos = 0;
	ssize_t n;

	guard(mutex)(&tally->lock);
	if (tally->frozen)
		return -EBUSY;
	if (tally->mirror) {
		n = kernel_write(tally->mirror, &value, sizeof(value), &pos);
		if (n != sizeof(value))
			return n < 0 ? n : -EIO;
	}
	tally->value = value;
	atomic64_inc(&tally_writes);
	return 0;
}

static ssize_t tally_write(struct file *file, const char __user *buf, size_t len,
			   loff_t *pos)
{
	u64 value;
	int err;

	if (len != sizeof(value))
		return -EINVAL;
	if (copy_from_user(&value, buf, sizeof(value)))
		return -EFAULT;
	err = tally_set(file->private_data, value);
	return err ?: len;
}

static long tally_ioctl(struct file *file, unsigned int cmd, unsigned long fd)
{
	struct tally *tally = file->private_data;
	struct file *mirror;

	if (cmd != TALLY_MIRROR)
		return -ENOTTY;
	mirror = fget(fd);
	if (!mirror)
		return -EBADF;

	guard(mutex)(&tally->lock);
	if (tally->mirror || !(mirror->f_mode & FMODE_WRITE)) {
		fput(mirror);
		return -EINVAL;
	}
	tally->mirror = mirror;
	return 0;
}

static const struct file_operations tally_fops = {
	.owner		= THIS_MODULE,
	.open		= tally_open,
	.release	= tally_release,
	.read		= tally_read,
	.write		= tally_write,
	.unlocked_ioctl	= tally_ioctl,
};

/* ---- all tallies ---- */

/* With the first tally that is preserved. */
static int tally_all_preserve(struct liveupdate_flb_op_args *args)
{
	struct tally_all_ser *ser = kho_alloc_preserve(sizeof(*ser));

	if (IS_ERR(ser))
		return PTR_ERR(ser);

	ser->magic = TALLY_ALL_MAGIC;
	args->obj = ser;
	args->data = virt_to_phys(ser);
	return 0;
}

static void tally_all_unpreserve(struct liveupdate_flb_op_args *args)
{
	kho_unpreserve_free(args->obj);
}

/* A damaged record may name a page of somebody else. */
static struct tally_all_ser *tally_all_peek(u64 data)
{
	struct tally_all_ser *ser = kho_peek(data, sizeof(*ser));

	return ser && ser->magic == TALLY_ALL_MAGIC ? ser : NULL;
}

/* In the next kernel; that it was restored is what args->obj says to finish. */
static int tally_all_retrieve(struct liveupdate_flb_op_args *args)
{
	struct tally_all_ser *ser = tally_all_peek(args->data);

	if (!ser || !kho_restore_folio(args->data))
		return -EBADMSG;

	args->obj = ser;
	return 0;
}

static void tally_all_finish(struct liveupdate_flb_op_args *args)
{
	if (args->obj)
		folio_put(virt_to_folio(args->obj));
	else
		kho_restore_free(tally_all_peek(args->data));
}

/* Tallies that came in and that nobody retrieved will want to know, too. */
static int tally_all_carry(struct liveupdate_flb_op_args *args)
{
	struct tally_all_ser *ser = args->obj;

	ser->writes = atomic64_read(&tally_writes);
	return 0;
}

static void tally_all_uncarry(struct liveupdate_flb_op_args *args)
{
}

static const struct liveupdate_flb_ops tally_all_ops = {
	.preserve	= tally_all_preserve,
	.unpreserve	= tally_all_unpreserve,
	.retrieve	= tally_all_retrieve,
	.finish		= tally_all_finish,
	.carry		= tally_all_carry,
	.uncarry	= tally_all_uncarry,
	.owner		= THIS_MODULE,
};

static struct liveupdate_flb tally_all = {
	.ops		= &tally_all_ops,
	.compatible	= "tally-all-v1",
};

/* ---- the old kernel's side ---- */

static bool tally_can_preserve(struct liveupdate_file_handler *handler,
			       struct file *file)
{
	return file->f_op == &tally_fops;
}

/* A mirror stays, and has to be in the session already. */
static int tally_preserve(struct liveupdate_file_op_args *args)
{
	struct tally *tally = args->file->private_data;
	struct tally_ser *ser = kho_alloc_preserve(sizeof(*ser));
	int err;

	if (IS_ERR(ser))
		return PTR_ERR(ser);

	guard(mutex)(&tally->lock);
	if (tally->mirror) {
		err = liveupdate_get_token_outgoing(args->session, tally->mirror,
						    &ser->mirror_token);
		if (err) {
			kho_unpreserve_free(ser);
			return err == -ENOENT ? -EINVAL : err;
		}
		ser->has_mirror = 1;
	}
	ser->magic = TALLY_MAGIC;
	ser->token = args->token;
	strscpy(ser->session, liveupdate_session_name(args->session));
	args->private_data = ser;
	args->serialized_data = virt_to_phys(ser);
	args->preserved_bytes = sizeof(*ser);
	return 0;
}

static void tally_unpreserve(struct liveupdate_file_op_args *args)
{
	struct tally_ser *ser = args->private_data;

	if (ser->has_mirror)
		liveupdate_put_token_outgoing(args->session, ser->mirror_token);
	kho_unpreserve_free(ser);
}

/* The numbers could change until now, and that of this file can't any more. */
static int tally_freeze(struct liveupdate_file_op_args *args)
{
	struct tally *tally = args->file->private_data;
	struct tally_ser *ser = args->private_data;
	struct tally_all_ser *all;
	int err;

	err = liveupdate_flb_get_outgoing(&tally_all, (void **)&all);
	if (err)
		return err;

	mutex_lock(&tally->lock);
	tally->frozen = true;
	ser->value = tally->value;
	mutex_unlock(&tally->lock);
	all->writes = atomic64_read(&tally_writes);
	liveupdate_flb_put_outgoing(&tally_all);
	return 0;
}

static void tally_unfreeze(struct liveupdate_file_op_args *args)
{
	struct tally *tally = args->file->private_data;

	guard(mutex)(&tally->lock);
	tally->frozen = false;
}

/* ---- the new kernel's side ---- */

/* As with what is of all of them; and it may be that of another tally. */
static struct tally_ser *tally_peek(const struct liveupdate_file_op_args *args)
{
	struct tally_ser *ser = kho_peek(args->serialized_data, sizeof(*ser));

	if (!ser || ser->magic != TALLY_MAGIC || ser->token != args->token ||
	    strnlen(ser->session, sizeof(ser->session)) == sizeof(ser->session))
		return NULL;
	return liveupdate_session_was(args->session, ser->session) ? ser : NULL;
}

/*
 * The mirror, retrieved if it has not been yet. It is an ordinary file from then
 * on, and the session may be finished.
 */
static int tally_retrieve_mirror(struct tally *tally, struct liveupdate_session *session,
				 u64 token)
{
	int err = liveupdate_get_file_incoming(session, token, &tally->mirror);

	if (err)
		return err;

	liveupdate_put_file_incoming(session, token);
	return tally->mirror->f_mode & FMODE_WRITE ? 0 : -EBADMSG;
}

static struct tally *tally_make(const struct tally_ser *ser,
				struct liveupdate_session *session)
{
	struct tally *tally = kzalloc(sizeof(*tally), GFP_KERNEL_ACCOUNT);
	int err = 0;

	if (!tally)
		return ERR_PTR(-ENOMEM);

	mutex_init(&tally->lock);
	tally->value = ser->value;
	if (ser->has_mirror)
		err = tally_retrieve_mirror(tally, session, ser->mirror_token);
	if (err) {
		tally_free(tally);
		return ERR_PTR(err);
	}
	return tally;
}

/* Everything that can fail comes before the preserved page is given up. */
static int tally_retrieve(struct liveupdate_file_op_args *args)
{
	struct tally_ser *ser = tally_peek(args);
	struct tally *tally;
	struct file *file;

	if (!ser)
		return -EBADMSG;

	tally = tally_make(ser, args->session);
	if (IS_ERR(tally))
		return PTR_ERR(tally);

	file = anon_inode_getfile("[tally]", &tally_fops, tally, O_RDWR);
	if (IS_ERR(file)) {
		tally_free(tally);
		return PTR_ERR(file);
	}
	kho_restore_free(ser);
	args->file = file;
	return 0;
}

static void tally_finish(struct liveupdate_file_op_args *args)
{
	if (args->retrieve_status != 1)
		kho_restore_free(tally_peek(args));
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

/* Before there is a tally, whether or not somebody retrieves one. */
static int __init tally_take_over(void)
{
	struct tally_all_ser *all;
	int err = liveupdate_flb_get_incoming(&tally_all, (void **)&all);

	/* Nothing came in, or nothing that can be read: begin with 0. */
	if (err == -ENOENT || err == -EBADMSG)
		return 0;
	if (err)
		return err;

	atomic64_set(&tally_writes, all->writes);
	liveupdate_flb_put_incoming(&tally_all);
	return 0;
}

static int __init tally_register(void)
{
	int err = liveupdate_register_file_handler(&tally_handler);

	if (err)
		return err;

	err = liveupdate_register_flb(&tally_handler, &tally_all);
	if (!err)
		err = tally_take_over();
	if (err)
		liveupdate_unregister_file_handler(&tally_handler);
	return err;
}

static int __init tally_init(void)
{
	/* Without live update the device works all the same. */
	int err = tally_register();

	if (err && err != -EOPNOTSUPP)
		return err;

	err = misc_register(&tally_device);
	if (err)
		liveupdate_unregister_file_handler(&tally_handler);
	return err;
}
module_init(tally_init);

static void __exit tally_exit(void)
{
	misc_deregister(&tally_device);
	liveupdate_unregister_file_handler(&tally_handler);
}
module_exit(tally_exit);

MODULE_DESCRIPTION("A number that survives live update");
MODULE_LICENSE("GPL");
