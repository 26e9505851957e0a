// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/liveupdate and session fds: arguments in, results out.
 *
 * Results reach userspace before anything has happened that userspace would
 * have to undo, so EFAULT always means that nothing was done. Memory of
 * userspace may take for ever to answer, so it is touched without the gate and
 * without locks.
 *
 * What a new command needs: Documentation/core-api/liveupdate.rst.
 */

#include <linux/anon_inodes.h>
#include <linux/build_bug.h>
#include <linux/capability.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>
#include <linux/kho/abi/kexec_handover.h>
#include <uapi/linux/liveupdate.h>

#include "luo_internal.h"

static_assert(LIVEUPDATE_SESSION_NAME_LENGTH == LUO_SESSION_NAME_LENGTH);
static_assert(LIVEUPDATE_HANDLER_NAME_LENGTH == LUO_HANDLER_NAME_LENGTH);

/* All commands that give an fd have it at the same place. */
struct luo_fd_arg {
	u32 size;
	s32 fd;
};

/* All commands that list something have the same argument. */
struct luo_list_arg {
	u32 size;
	u32 count;
	u64 cursor;
	u64 entries;
};

static_assert(sizeof(struct luo_list_arg) ==
	      sizeof(struct liveupdate_ioctl_list_sessions));
static_assert(sizeof(struct luo_list_arg) ==
	      sizeof(struct liveupdate_session_list_files));

#define LUO_ARG_SIZE	128

struct luo_command;

/* @session is NULL on the device; @file is what LUO_OPENS gives out. */
struct luo_call {
	const struct luo_command *command;
	struct luo *luo;
	struct liveupdate_session *session;
	void __user *user;
	struct file *file;
	union {
		struct luo_fd_arg fd;
		u8 bytes[LUO_ARG_SIZE];
	} arg __aligned(8);
};

enum luo_target {
	LUO_ON_DEVICE	= BIT(0),
	LUO_ON_OUTGOING	= BIT(1),
	LUO_ON_INCOMING	= BIT(2),
	LUO_ON_FINISHED	= BIT(3),

	LUO_ON_SESSION	= LUO_ON_OUTGOING | LUO_ON_INCOMING | LUO_ON_FINISHED,
};

enum luo_command_flags {
	LUO_ANSWERS	= BIT(0),	/* the argument is copied back */
	LUO_OPENS	= BIT(1),	/* sets luo_call::file, gives out its fd */
	/* Enters by itself for what it does with sessions, if anything. */
	LUO_OUTSIDE	= BIT(2),
};

struct luo_command {
	unsigned int cmd;
	u16 size;
	u8 targets;
	u8 flags;
	int (*run)(struct luo_call *call, void *arg);
};

/* ---- inside ---- */

static u8 luo_call_target(const struct luo_call *call)
{
	if (!call->session)
		return LUO_ON_DEVICE;

	switch (call->session->state) {
	case LUO_SESSION_OUTGOING:
		return LUO_ON_OUTGOING;
	case LUO_SESSION_RETRIEVED:
		return LUO_ON_INCOMING;
	default:
		return LUO_ON_FINISHED;
	}
}

static void luo_call_exit(struct luo_call *call)
{
	if (call->session)
		mutex_unlock(&call->session->lock);
	luo_exit(call->luo);
}

/* From here on the session stays as it is, and may be changed. */
static int luo_call_enter(struct luo_call *call)
{
	int err = luo_enter(call->luo);

	if (err)
		return err;
	if (call->session && mutex_lock_killable(&call->session->lock)) {
		luo_exit(call->luo);
		return -EINTR;
	}
	if (call->command->targets & luo_call_target(call))
		return 0;

	luo_call_exit(call);
	return -EINVAL;
}

static int luo_call_run(struct luo_call *call)
{
	const struct luo_command *command = call->command;
	int err;

	if (command->flags & LUO_OUTSIDE)
		return command->run(call, call->arg.bytes);

	err = luo_call_enter(call);
	if (err)
		return err;

	err = command->run(call, call->arg.bytes);
	luo_call_exit(call);
	return err;
}

/* The only way that an fd leaves: number first, then the deed, then the fd. */
static int luo_call_open(struct luo_call *call)
{
	struct luo_fd_arg __user *user = call->user;
	int err, fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;

	err = put_user(fd, &user->fd);
	if (!err) {
		err = luo_call_run(call);
		/* What userspace had there is a courtesy, not a promise. */
		if (err)
			(void)put_user(call->arg.fd.fd, &user->fd);
	}
	if (err) {
		put_unused_fd(fd);
		return err;
	}
	fd_install(fd, call->file);
	return 0;
}

/* ---- lists ---- */

/* Fills the next entry and moves the cursor on; -ENOENT at the end. */
typedef int (*luo_entry_fn)(struct luo_call *call, u64 *cursor, void *entry);

/* Returns how many entries it made, 0 at the end. */
static int luo_list_make(struct luo_call *call, struct luo_list_arg *list,
			 luo_entry_fn next, void *entries, size_t size, u32 room)
{
	int err = luo_call_enter(call);
	u32 n = 0;

	if (err)
		return err;

	memset(entries, 0, room * size);
	while (n < room && !err) {
		err = next(call, &list->cursor, entries + n * size);
		if (!err)
			n++;
	}
	luo_call_exit(call);
	return err && err != -ENOENT ? err : n;
}

/* A page at a time is made inside and copied outside. */
static int luo_list(struct luo_call *call, struct luo_list_arg *list, size_t size,
		    luo_entry_fn next)
{
	u32 room = min_t(u32, list->count, PAGE_SIZE / size);
	void __user *user = u64_to_user_ptr(list->entries);
	u32 left = list->count;
	int n;

	if (!list->count)
		return -EINVAL;

	void *entries __free(kfree) = kmalloc_array(room, size, GFP_KERNEL);
	if (!entries)
		return -ENOMEM;

	do {
		room = min(room, left);
		n = luo_list_make(call, list, next, entries, size, room);
		if (n < 0)
			return n;
		if (copy_to_user(user, entries, n * size))
			return -EFAULT;
		user += n * size;
		left -= n;
		cond_resched();
	} while (left && n == room && !fatal_signal_pending(current));

	list->count -= left;
	return 0;
}

/* ---- commands of the device ---- */

static const struct file_operations luo_session_fops;

static struct file *luo_session_file(struct liveupdate_session *session)
{
	char name[sizeof("[luo_session] ") + LUO_SESSION_NAME_LENGTH];

	snprintf(name, sizeof(name), "[luo_session] %s", session->name);
	return anon_inode_create_getfile(name, &luo_session_fops, session,
					 O_RDWR, NULL);
}

static int luo_cmd_create_session(struct luo_call *call, void *arg)
{
	struct liveupdate_ioctl_create_session *create = arg;
	struct liveupdate_session *session;

	if (!luo_name_valid(create->name))
		return -EINVAL;

	session = luo_session_create(call->luo, create->name);
	if (IS_ERR(session))
		return PTR_ERR(session);

	call->file = luo_session_file(session);
	if (!IS_ERR(call->file))
		return 0;

	luo_session_close(session);
	return PTR_ERR(call->file);
}

static int luo_cmd_retrieve_session(struct luo_call *call, void *arg)
{
	struct liveupdate_ioctl_retrieve_session *retrieve = arg;
	struct liveupdate_session *session;

	if (!luo_name_valid(retrieve->name))
		return -EINVAL;

	session = luo_session_retrieve(call->luo, retrieve->name);
	if (IS_ERR(session))
		return PTR_ERR(session);

	call->file = luo_session_file(session);
	if (!IS_ERR(call->file))
		return 0;

	luo_session_give_back(session);
	return PTR_ERR(call->file);
}

/* Nobody has the file yet that could ask for the flag, or close it. */
static int luo_cmd_claim_session(struct luo_call *call, void *arg)
{
	struct liveupdate_session *session;
	int err = luo_cmd_retrieve_session(call, arg);

	if (err)
		return err;

	session = call->file->private_data;
	session->keep_on_close = true;
	return 0;
}

static int luo_cmd_get_info(struct luo_call *call, void *arg)
{
	struct liveupdate_ioctl_get_info *info = arg;
	struct luo *luo = call->luo;
	int err;

	if (info->reserved)
		return -EINVAL;
	err = luo_sessions_read(luo);
	if (err)
		return err;

	info->features = LIVEUPDATE_FEATURE_LIST |
			 LIVEUPDATE_FEATURE_UNPRESERVE_FD |
			 LIVEUPDATE_FEATURE_KEEP_ON_CLOSE |
			 LIVEUPDATE_FEATURE_ABANDON |
			 LIVEUPDATE_FEATURE_CLAIM_SESSION;
	info->number = luo->number;
	strscpy_pad((char *)info->kho_format, KHO_FDT_COMPATIBLE,
		    sizeof(info->kho_format));
	strscpy_pad((char *)info->luo_format, LUO_FORMAT,
		    sizeof(info->luo_format));

	guard(mutex)(&luo->lock);
	info->outgoing_sessions = luo->count[LUO_OUTGOING].sessions;
	info->outgoing_files = luo->count[LUO_OUTGOING].files;
	info->incoming_sessions = luo->count[LUO_INCOMING].sessions;
	info->incoming_files = luo->count[LUO_INCOMING].files;
	return 0;
}

static const u32 luo_session_uapi_state[LUO_SESSION_STATES] = {
	[LUO_SESSION_OUTGOING]	= LIVEUPDATE_SESSION_STATE_OUTGOING,
	[LUO_SESSION_INCOMING]	= LIVEUPDATE_SESSION_STATE_INCOMING,
	[LUO_SESSION_RETRIEVED]	= LIVEUPDATE_SESSION_STATE_RETRIEVED,
	[LUO_SESSION_FINISHED]	= LIVEUPDATE_SESSION_STATE_RETRIEVED,
	[LUO_SESSION_DAMAGED]	= LIVEUPDATE_SESSION_STATE_DAMAGED,
};

static int luo_entry_of_session(struct luo_call *call, u64 *cursor, void *arg)
{
	struct liveupdate_session_entry *entry = arg;
	struct liveupdate_session *session;
	int err;

	/* What is left to do after the first time costs nothing. */
	err = luo_sessions_read(call->luo);
	if (err)
		return err;
	session = luo_session_next(call->luo, *cursor);
	if (!session)
		return -ENOENT;

	entry->files = READ_ONCE(session->files.count);
	entry->state = luo_session_uapi_state[READ_ONCE(session->state)];
	memcpy(entry->name, session->name, sizeof(entry->name));
	*cursor = session->seq + 1;
	luo_session_put(session);
	return 0;
}

static int luo_cmd_list_sessions(struct luo_call *call, void *arg)
{
	return luo_list(call, arg, sizeof(struct liveupdate_session_entry),
			luo_entry_of_session);
}

/* ---- commands of a session ---- */

static const struct file_operations luo_device_fops;

static bool luo_file_is_ours(const struct file *file)
{
	return file->f_op == &luo_session_fops || file->f_op == &luo_device_fops;
}

static int luo_cmd_preserve_fd(struct luo_call *call, void *arg)
{
	struct liveupdate_session_preserve_fd *preserve = arg;
	struct file *file = fget(preserve->fd);
	int err = -EINVAL;

	if (!file)
		return -EBADF;

	/* It would hold itself, or the device, whatever a handler can do. */
	if (!luo_file_is_ours(file))
		err = luo_file_preserve(call->session, file, preserve->token);
	fput(file);
	return err;
}

static int luo_cmd_unpreserve_fd(struct luo_call *call, void *arg)
{
	struct liveupdate_session_unpreserve_fd *unpreserve = arg;

	if (unpreserve->reserved)
		return -EINVAL;
	return luo_file_unpreserve(call->session, unpreserve->token);
}

static int luo_cmd_retrieve_fd(struct luo_call *call, void *arg)
{
	struct liveupdate_session_retrieve_fd *retrieve = arg;
	int err;

	err = luo_file_retrieve(call->session, retrieve->token, &call->file);
	/* No errno of userspace. */
	if (err == -EPROBE_DEFER)
		err = -EAGAIN;
	if (err)
		return err;

	err = security_file_receive(call->file);
	if (err)
		fput(call->file);
	return err;
}

static int luo_cmd_finish(struct luo_call *call, void *arg)
{
	struct liveupdate_session_finish *finish = arg;

	if (finish->reserved)
		return -EINVAL;
	return luo_session_finish(call->session, NULL);
}

/* Memory that is lost until the next update is not for anybody to lose. */
static int luo_cmd_abandon(struct luo_call *call, void *arg)
{
	struct liveupdate_session_abandon *abandon = arg;

	if (abandon->reserved)
		return -EINVAL;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	return luo_session_finish(call->session, &abandon->files);
}

/* The name never changes: answered even while reboot() is under way. */
static int luo_cmd_get_name(struct luo_call *call, void *arg)
{
	struct liveupdate_session_get_name *get_name = arg;

	if (get_name->reserved)
		return -EINVAL;
	memcpy(get_name->name, call->session->name, sizeof(get_name->name));
	return 0;
}

static int luo_cmd_set_flags(struct luo_call *call, void *arg)
{
	struct liveupdate_session_set_flags *set_flags = arg;
	u32 flags = set_flags->flags;

	if (flags & ~LIVEUPDATE_SESSION_KEEP_ON_CLOSE)
		return -EOPNOTSUPP;
	call->session->keep_on_close = flags & LIVEUPDATE_SESSION_KEEP_ON_CLOSE;
	return 0;
}

static const u32 luo_file_uapi_state[] = {
	[LUO_FILE_PRESERVED]	= LIVEUPDATE_FILE_STATE_PRESERVED,
	[LUO_FILE_FROZEN]	= LIVEUPDATE_FILE_STATE_PRESERVED,
	[LUO_FILE_INCOMING]	= LIVEUPDATE_FILE_STATE_INCOMING,
	[LUO_FILE_RETRIEVED]	= LIVEUPDATE_FILE_STATE_RETRIEVED,
	[LUO_FILE_FAILED]	= LIVEUPDATE_FILE_STATE_DAMAGED,
	[LUO_FILE_DAMAGED]	= LIVEUPDATE_FILE_STATE_DAMAGED,
	[LUO_FILE_LOST]		= LIVEUPDATE_FILE_STATE_DAMAGED,
};

static u32 luo_file_state(const struct luo_file *f)
{
	if (f->state == LUO_FILE_INCOMING && !luo_file_has_handler(f))
		return LIVEUPDATE_FILE_STATE_NO_HANDLER;
	return luo_file_uapi_state[f->state];
}

static int luo_entry_of_file(struct luo_call *call, u64 *cursor, void *arg)
{
	struct luo_file *f = luo_file_next(&call->session->files, *cursor);
	struct liveupdate_file_entry *entry = arg;

	if (!f)
		return -ENOENT;

	entry->token = f->token;
	entry->state = luo_file_state(f);
	entry->waiting = min(DIV_ROUND_UP_ULL(luo_file_waiting(f), SZ_1M), U32_MAX);
	luo_file_handler_name(f, (char *)entry->handler);
	*cursor = f->seq + 1;
	return 0;
}

static int luo_cmd_list_files(struct luo_call *call, void *arg)
{
	return luo_list(call, arg, sizeof(struct liveupdate_file_entry),
			luo_entry_of_file);
}

/* ---- dispatch ---- */

#define LUO_COMMAND(_cmd, _struct, _targets, _flags, _run)			\
	[_IOC_NR(_cmd)] = {							\
		.cmd = _cmd,							\
		.size = sizeof(struct _struct) +				\
			BUILD_BUG_ON_ZERO(sizeof(struct _struct) > LUO_ARG_SIZE), \
		.targets = _targets,						\
		.flags = _flags,						\
		.run = _run,							\
	}

static const struct luo_command luo_commands[] = {
	LUO_COMMAND(LIVEUPDATE_IOCTL_CREATE_SESSION,
		    liveupdate_ioctl_create_session,
		    LUO_ON_DEVICE, LUO_OPENS, luo_cmd_create_session),
	LUO_COMMAND(LIVEUPDATE_IOCTL_RETRIEVE_SESSION,
		    liveupdate_ioctl_retrieve_session,
		    LUO_ON_DEVICE, LUO_OPENS, luo_cmd_retrieve_session),
	LUO_COMMAND(LIVEUPDATE_IOCTL_CLAIM_SESSION,
		    liveupdate_ioctl_retrieve_session,
		    LUO_ON_DEVICE, LUO_OPENS, luo_cmd_claim_session),
	LUO_COMMAND(LIVEUPDATE_IOCTL_LIST_SESSIONS,
		    liveupdate_ioctl_list_sessions,
		    LUO_ON_DEVICE, LUO_ANSWERS | LUO_OUTSIDE, luo_cmd_list_sessions),
	LUO_COMMAND(LIVEUPDATE_IOCTL_GET_INFO, liveupdate_ioctl_get_info,
		    LUO_ON_DEVICE, LUO_ANSWERS, luo_cmd_get_info),
	LUO_COMMAND(LIVEUPDATE_SESSION_PRESERVE_FD,
		    liveupdate_session_preserve_fd,
		    LUO_ON_OUTGOING, 0, luo_cmd_preserve_fd),
	LUO_COMMAND(LIVEUPDATE_SESSION_RETRIEVE_FD,
		    liveupdate_session_retrieve_fd,
		    LUO_ON_INCOMING, LUO_OPENS, luo_cmd_retrieve_fd),
	LUO_COMMAND(LIVEUPDATE_SESSION_FINISH, liveupdate_session_finish,
		    LUO_ON_INCOMING, 0, luo_cmd_finish),
	LUO_COMMAND(LIVEUPDATE_SESSION_ABANDON, liveupdate_session_abandon,
		    LUO_ON_INCOMING, LUO_ANSWERS, luo_cmd_abandon),
	LUO_COMMAND(LIVEUPDATE_SESSION_GET_NAME, liveupdate_session_get_name,
		    LUO_ON_SESSION, LUO_ANSWERS | LUO_OUTSIDE, luo_cmd_get_name),
	LUO_COMMAND(LIVEUPDATE_SESSION_SET_FLAGS, liveupdate_session_set_flags,
		    LUO_ON_INCOMING, 0, luo_cmd_set_flags),
	LUO_COMMAND(LIVEUPDATE_SESSION_LIST_FILES, liveupdate_session_list_files,
		    LUO_ON_OUTGOING | LUO_ON_INCOMING, LUO_ANSWERS | LUO_OUTSIDE,
		    luo_cmd_list_files),
	LUO_COMMAND(LIVEUPDATE_SESSION_UNPRESERVE_FD,
		    liveupdate_session_unpreserve_fd,
		    LUO_ON_OUTGOING, 0, luo_cmd_unpreserve_fd),
};

static const struct luo_command *luo_command_find(unsigned int cmd,
						  bool on_device)
{
	const struct luo_command *command;
	unsigned int nr = _IOC_NR(cmd);

	if (nr >= ARRAY_SIZE(luo_commands))
		return NULL;
	command = &luo_commands[nr];
	if (!command->run || command->cmd != cmd ||
	    on_device != !!(command->targets & LUO_ON_DEVICE))
		return NULL;
	return command;
}

static int luo_call_read(struct luo_call *call)
{
	size_t known = call->command->size;
	u32 size;

	if (get_user(size, (u32 __user *)call->user))
		return -EFAULT;
	if (size < known)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(&call->arg, known, call->user, size);
}

static int luo_call_answer(struct luo_call *call)
{
	if (!(call->command->flags & LUO_ANSWERS))
		return 0;
	return copy_to_user(call->user, &call->arg, call->command->size) ? -EFAULT : 0;
}

/**
 * luo_ioctl - Serve an ioctl.
 * @luo:     Instance.
 * @session: Session whose fd was called, NULL for the device.
 * @cmd:     Command.
 * @user:    Its argument.
 *
 * Return: 0 or the errno that <uapi/linux/liveupdate.h> promises.
 */
long luo_ioctl(struct luo *luo, struct liveupdate_session *session,
	       unsigned int cmd, void __user *user)
{
	const struct luo_command *command = luo_command_find(cmd, !session);
	struct luo_call call = {
		.command = command,
		.luo = luo,
		.session = session,
		.user = user,
	};
	int err;

	if (!command)
		return -ENOTTY;
	err = luo_call_read(&call);
	/* Before anything happens: can the answer be told? */
	if (!err)
		err = luo_call_answer(&call);
	if (err)
		return err;

	err = command->flags & LUO_OPENS ? luo_call_open(&call) : luo_call_run(&call);
	return err ?: luo_call_answer(&call);
}

/* ---- session fd ---- */

static long luo_session_ioctl(struct file *file, unsigned int cmd,
			      unsigned long arg)
{
	struct liveupdate_session *session = file->private_data;

	return luo_ioctl(session->luo, session, cmd, (void __user *)arg);
}

static int luo_session_release(struct inode *inode, struct file *file)
{
	struct liveupdate_session *session = file->private_data;
	struct luo *luo = session->luo;

	luo_enter_uninterruptible(luo);
	luo_session_close(session);
	luo_exit(luo);
	return 0;
}

static void luo_session_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct liveupdate_session *session = file->private_data;

	seq_puts(m, "liveupdate-session:\t");
	luo_session_show_name(m, session);
	seq_putc(m, '\n');
	seq_printf(m, "liveupdate-files:\t%llu\n", READ_ONCE(session->files.count));
}

static const struct file_operations luo_session_fops = {
	.owner		= THIS_MODULE,
	.release	= luo_session_release,
	.unlocked_ioctl	= luo_session_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.show_fdinfo	= luo_session_show_fdinfo,
	.llseek		= noop_llseek,
};

/* ---- /dev/liveupdate ---- */

static long luo_device_ioctl(struct file *file, unsigned int cmd,
			     unsigned long arg)
{
	return luo_ioctl(luo_get(), NULL, cmd, (void __user *)arg);
}

static bool luo_device_claim(struct luo *luo)
{
	if (READ_ONCE(luo->exclusive))
		return !atomic_cmpxchg(&luo->openers, 0, 1);

	atomic_inc(&luo->openers);
	return true;
}

static int luo_device_open(struct inode *inode, struct file *file)
{
	struct luo *luo = luo_get();
	int err;

	err = luo_enter(luo);
	if (err)
		return err;
	if (!luo_device_claim(luo)) {
		luo_exit(luo);
		return -EBUSY;
	}
	cmpxchg64(&luo->stamps.first_open, 0, luo_cycles());
	/* What can't be read for want of memory is tried again when needed. */
	luo_sessions_read(luo);
	luo_exit(luo);
	return 0;
}

static int luo_device_release(struct inode *inode, struct file *file)
{
	atomic_dec(&luo_get()->openers);
	return 0;
}

static const struct file_operations luo_device_fops = {
	.owner		= THIS_MODULE,
	.open		= luo_device_open,
	.release	= luo_device_release,
	.unlocked_ioctl	= luo_device_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
};

static struct miscdevice luo_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "liveupdate",
	.fops	= &luo_device_fops,
	.mode	= 0600,
};

/**
 * luo_device_init - Make /dev/liveupdate appear.
 *
 * Return: 0 or a negative errno.
 */
int __init luo_device_init(void)
{
	return misc_register(&luo_device);
}
