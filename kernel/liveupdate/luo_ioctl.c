// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/liveupdate and session fds: arguments in, results out.
 *
 * Results reach userspace before anything has happened that userspace would
 * have to undo, so EFAULT always means that nothing was done.
 */

#include <linux/anon_inodes.h>
#include <linux/build_bug.h>
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

union luo_arg {
	u32 size;
	struct luo_fd_arg fd;
	struct liveupdate_ioctl_create_session create_session;
	struct liveupdate_ioctl_retrieve_session retrieve_session;
	struct liveupdate_ioctl_get_info get_info;
	struct liveupdate_ioctl_list_sessions list_sessions;
	struct liveupdate_session_preserve_fd preserve_fd;
	struct liveupdate_session_unpreserve_fd unpreserve_fd;
	struct liveupdate_session_retrieve_fd retrieve_fd;
	struct liveupdate_session_finish finish;
	struct liveupdate_session_get_name get_name;
	struct liveupdate_session_set_flags set_flags;
	struct liveupdate_session_list_files list_files;
};

/* @session is NULL on the device. */
struct luo_call {
	struct luo *luo;
	struct liveupdate_session *session;
	void __user *user;
	union luo_arg arg;
};

enum luo_target {
	LUO_ON_DEVICE	= BIT(0),
	LUO_ON_OUTGOING	= BIT(1),
	LUO_ON_INCOMING	= BIT(2),
	LUO_ON_FINISHED	= BIT(3),

	/* Any state will do, so the session is not locked. */
	LUO_ON_SESSION	= LUO_ON_OUTGOING | LUO_ON_INCOMING | LUO_ON_FINISHED,
};

struct luo_command {
	unsigned int cmd;
	u16 size;
	bool answers;	/* @arg is copied back */
	u8 targets;
	int (*run)(struct luo_call *call);
};

/* ---- giving out fds ---- */

/* The only way that an fd leaves: number first, then the deed, then the fd. */
static int luo_publish_fd(struct luo_call *call,
			  struct file *(*open)(struct luo_call *call))
{
	struct luo_fd_arg __user *user = call->user;
	struct file *file;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	if (put_user(fd, &user->fd)) {
		put_unused_fd(fd);
		return -EFAULT;
	}
	file = open(call);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		/* What userspace had there is a courtesy, not a promise. */
		(void)put_user(call->arg.fd.fd, &user->fd);
		return PTR_ERR(file);
	}
	fd_install(fd, file);
	return 0;
}

static const struct file_operations luo_session_fops;

static struct file *luo_session_file(struct liveupdate_session *session)
{
	char name[sizeof("[luo_session] ") + LUO_SESSION_NAME_LENGTH];

	snprintf(name, sizeof(name), "[luo_session] %s", session->name);
	return anon_inode_create_getfile(name, &luo_session_fops, session,
					 O_RDWR, NULL);
}

/* ---- commands of the device ---- */

static struct file *luo_open_created(struct luo_call *call)
{
	const char *name = call->arg.create_session.name;
	struct liveupdate_session *session;
	struct file *file;

	session = luo_session_create(call->luo, name);
	if (IS_ERR(session))
		return ERR_CAST(session);

	file = luo_session_file(session);
	if (IS_ERR(file))
		luo_session_close(session);
	return file;
}

static int luo_cmd_create_session(struct luo_call *call)
{
	if (!luo_name_valid(call->arg.create_session.name))
		return -EINVAL;
	return luo_publish_fd(call, luo_open_created);
}

static struct file *luo_open_retrieved(struct luo_call *call)
{
	const char *name = call->arg.retrieve_session.name;
	struct liveupdate_session *session;
	struct file *file;

	session = luo_session_retrieve(call->luo, name);
	if (IS_ERR(session))
		return ERR_CAST(session);

	file = luo_session_file(session);
	if (IS_ERR(file))
		luo_session_give_back(session);
	return file;
}

static int luo_cmd_retrieve_session(struct luo_call *call)
{
	if (!luo_name_valid(call->arg.retrieve_session.name))
		return -EINVAL;
	return luo_publish_fd(call, luo_open_retrieved);
}

static int luo_cmd_get_info(struct luo_call *call)
{
	struct liveupdate_ioctl_get_info *info = &call->arg.get_info;
	struct luo *luo = call->luo;
	int err;

	if (info->reserved)
		return -EOPNOTSUPP;
	err = luo_sessions_read(luo);
	if (err)
		return err;

	info->features = LIVEUPDATE_FEATURE_LIST |
			 LIVEUPDATE_FEATURE_UNPRESERVE_FD |
			 LIVEUPDATE_FEATURE_KEEP_ON_CLOSE;
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

static int luo_list_session(struct luo *luo, u64 *cursor,
			    struct liveupdate_session_entry __user *user)
{
	struct liveupdate_session_entry entry = {};
	struct liveupdate_session *session = luo_session_next(luo, *cursor);

	if (!session)
		return -ENOENT;

	entry.files = READ_ONCE(session->files.count);
	entry.state = luo_session_uapi_state[READ_ONCE(session->state)];
	memcpy(entry.name, session->name, sizeof(entry.name));
	*cursor = session->seq + 1;
	luo_session_put(session);
	return copy_to_user(user, &entry, sizeof(entry)) ? -EFAULT : 0;
}

static int luo_cmd_list_sessions(struct luo_call *call)
{
	struct liveupdate_ioctl_list_sessions *list = &call->arg.list_sessions;
	struct liveupdate_session_entry __user *user =
		u64_to_user_ptr(list->entries);
	u32 i;
	int err;

	if (!list->count)
		return -EINVAL;
	err = luo_sessions_read(call->luo);
	if (err)
		return err;

	for (i = 0; i < list->count; i++) {
		err = luo_list_session(call->luo, &list->cursor, &user[i]);
		if (err == -ENOENT)
			break;
		if (err)
			return err;
		cond_resched();
	}
	list->count = i;
	return 0;
}

/* ---- commands of a session ---- */

static const struct file_operations luo_device_fops;

static bool luo_file_is_ours(const struct file *file)
{
	return file->f_op == &luo_session_fops || file->f_op == &luo_device_fops;
}

static int luo_cmd_preserve_fd(struct luo_call *call)
{
	struct liveupdate_session_preserve_fd *arg = &call->arg.preserve_fd;
	struct file *file = fget(arg->fd);
	int err = -EINVAL;

	if (!file)
		return -EBADF;

	/* It would hold itself, or the device, whatever a handler can do. */
	if (!luo_file_is_ours(file))
		err = luo_file_preserve(call->session, file, arg->token);
	fput(file);
	return err;
}

static int luo_cmd_unpreserve_fd(struct luo_call *call)
{
	if (call->arg.unpreserve_fd.reserved)
		return -EOPNOTSUPP;
	return luo_file_unpreserve(call->session, call->arg.unpreserve_fd.token);
}

static struct file *luo_open_file(struct luo_call *call)
{
	struct file *file;
	int err;

	err = luo_file_retrieve(call->session, call->arg.retrieve_fd.token, &file);
	/* No errno of userspace. */
	if (err == -EPROBE_DEFER)
		err = -EAGAIN;
	if (err)
		return ERR_PTR(err);

	err = security_file_receive(file);
	if (err) {
		fput(file);
		return ERR_PTR(err);
	}
	return file;
}

static int luo_cmd_retrieve_fd(struct luo_call *call)
{
	return luo_publish_fd(call, luo_open_file);
}

static int luo_cmd_finish(struct luo_call *call)
{
	if (call->arg.finish.reserved)
		return -EOPNOTSUPP;
	return luo_session_finish(call->session);
}

static int luo_cmd_get_name(struct luo_call *call)
{
	struct liveupdate_session_get_name *arg = &call->arg.get_name;

	if (arg->reserved)
		return -EOPNOTSUPP;
	memcpy(arg->name, call->session->name, sizeof(arg->name));
	return 0;
}

static int luo_cmd_set_flags(struct luo_call *call)
{
	u32 flags = call->arg.set_flags.flags;

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

static int luo_cmd_list_files(struct luo_call *call)
{
	struct liveupdate_session_list_files *list = &call->arg.list_files;
	struct liveupdate_file_entry __user *user = u64_to_user_ptr(list->entries);
	struct luo_file *f;
	u32 i;

	if (!list->count)
		return -EINVAL;

	for (i = 0; i < list->count; i++) {
		struct liveupdate_file_entry entry = {};

		f = luo_file_next(&call->session->files, list->cursor);
		if (!f)
			break;
		entry.token = f->token;
		entry.state = luo_file_uapi_state[f->state];
		luo_file_handler_name(f, (char *)entry.handler);
		if (copy_to_user(&user[i], &entry, sizeof(entry)))
			return -EFAULT;
		list->cursor = f->seq + 1;
		cond_resched();
	}
	list->count = i;
	return 0;
}

/* ---- dispatch ---- */

#define LUO_COMMAND(_cmd, _struct, _targets, _answers, _run)			\
	[_IOC_NR(_cmd)] = {							\
		.cmd = _cmd,							\
		.size = sizeof(struct _struct) +				\
			BUILD_BUG_ON_ZERO(sizeof(struct _struct) >		\
					  sizeof(union luo_arg)),		\
		.targets = _targets,						\
		.answers = _answers,						\
		.run = _run,							\
	}

static const struct luo_command luo_commands[] = {
	LUO_COMMAND(LIVEUPDATE_IOCTL_CREATE_SESSION,
		    liveupdate_ioctl_create_session,
		    LUO_ON_DEVICE, false, luo_cmd_create_session),
	LUO_COMMAND(LIVEUPDATE_IOCTL_RETRIEVE_SESSION,
		    liveupdate_ioctl_retrieve_session,
		    LUO_ON_DEVICE, false, luo_cmd_retrieve_session),
	LUO_COMMAND(LIVEUPDATE_IOCTL_LIST_SESSIONS,
		    liveupdate_ioctl_list_sessions,
		    LUO_ON_DEVICE, true, luo_cmd_list_sessions),
	LUO_COMMAND(LIVEUPDATE_IOCTL_GET_INFO, liveupdate_ioctl_get_info,
		    LUO_ON_DEVICE, true, luo_cmd_get_info),
	LUO_COMMAND(LIVEUPDATE_SESSION_PRESERVE_FD,
		    liveupdate_session_preserve_fd,
		    LUO_ON_OUTGOING, false, luo_cmd_preserve_fd),
	LUO_COMMAND(LIVEUPDATE_SESSION_RETRIEVE_FD,
		    liveupdate_session_retrieve_fd,
		    LUO_ON_INCOMING, false, luo_cmd_retrieve_fd),
	LUO_COMMAND(LIVEUPDATE_SESSION_FINISH, liveupdate_session_finish,
		    LUO_ON_INCOMING, false, luo_cmd_finish),
	LUO_COMMAND(LIVEUPDATE_SESSION_GET_NAME, liveupdate_session_get_name,
		    LUO_ON_SESSION, true, luo_cmd_get_name),
	LUO_COMMAND(LIVEUPDATE_SESSION_SET_FLAGS, liveupdate_session_set_flags,
		    LUO_ON_INCOMING, false, luo_cmd_set_flags),
	LUO_COMMAND(LIVEUPDATE_SESSION_LIST_FILES, liveupdate_session_list_files,
		    LUO_ON_OUTGOING | LUO_ON_INCOMING, true, luo_cmd_list_files),
	LUO_COMMAND(LIVEUPDATE_SESSION_UNPRESERVE_FD,
		    liveupdate_session_unpreserve_fd,
		    LUO_ON_OUTGOING, false, luo_cmd_unpreserve_fd),
};

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

static int luo_call_read(const struct luo_command *command, struct luo_call *call)
{
	u32 size;

	if (get_user(size, (u32 __user *)call->user))
		return -EFAULT;
	if (size < command->size)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(&call->arg, command->size, call->user, size);
}

static int luo_call_run(const struct luo_command *command, struct luo_call *call)
{
	if (!call->session || command->targets == LUO_ON_SESSION)
		return command->run(call);

	guard(mutex)(&call->session->lock);
	return command->targets & luo_call_target(call) ? command->run(call) : -EINVAL;
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
	struct luo_call call = { .luo = luo, .session = session, .user = user };
	const struct luo_command *command = luo_command_find(cmd, !session);
	int err;

	if (!command)
		return -ENOTTY;
	err = luo_call_read(command, &call);
	if (err)
		return err;
	err = luo_enter(luo);
	if (err)
		return err;

	err = luo_call_run(command, &call);
	luo_exit(luo);
	if (!err && command->answers &&
	    copy_to_user(user, &call.arg, command->size))
		err = -EFAULT;
	return err;
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
