// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an operator sees: /sys/kernel/liveupdate, and every session and file in
 * debugfs.
 */

#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/kexec_handover.h>
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/math64.h>
#include <linux/seq_file.h>
#include <linux/sysfs.h>
#include <linux/time64.h>
#include <linux/kho/abi/kexec_handover.h>

#include "kho_incoming.h"
#include "luo_internal.h"

/* ---- counts ---- */

static int luo_read_sessions(struct luo *luo)
{
	int err = luo_enter(luo);

	if (err)
		return err;
	err = luo_sessions_read(luo);
	luo_exit(luo);
	return err;
}

/* Whoever looks waits for reboot() only if nobody has looked before. */
static int luo_read_count(enum luo_direction direction, struct luo_count *count)
{
	struct luo *luo = luo_get();
	int err;

	if (!READ_ONCE(luo->sessions_read)) {
		err = luo_read_sessions(luo);
		if (err)
			return err;
	}
	guard(mutex)(&luo->lock);
	*count = luo->count[direction];
	return 0;
}

#define LUO_COUNT_ATTR(_name, _direction, _field)				\
static ssize_t _name##_show(struct kobject *kobj,				\
			    struct kobj_attribute *attr, char *buf)		\
{										\
	struct luo_count count;							\
	int err = luo_read_count(_direction, &count);				\
										\
	return err ?: sysfs_emit(buf, "%llu\n", count._field);			\
}										\
static struct kobj_attribute luo_attr_##_name = __ATTR_RO(_name)

LUO_COUNT_ATTR(outgoing_sessions, LUO_OUTGOING, sessions);
LUO_COUNT_ATTR(outgoing_files, LUO_OUTGOING, files);
LUO_COUNT_ATTR(incoming_sessions, LUO_INCOMING, sessions);
LUO_COUNT_ATTR(incoming_files, LUO_INCOMING, files);

/* ---- state ---- */

static ssize_t state_show(struct kobject *kobj, struct kobj_attribute *attr,
			  char *buf)
{
	struct luo_count count;
	int err;

	if (READ_ONCE(luo_get()->frozen))
		return sysfs_emit(buf, "frozen\n");

	err = luo_read_count(LUO_INCOMING, &count);
	if (err)
		return err;
	return sysfs_emit(buf, "%s\n", count.sessions ? "updated" : "normal");
}

static ssize_t number_show(struct kobject *kobj, struct kobj_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%llu\n", luo_get()->number);
}

static ssize_t abi_show(struct kobject *kobj, struct kobj_attribute *attr,
			char *buf)
{
	return sysfs_emit(buf, "%s %s\n", KHO_FDT_COMPATIBLE, LUO_FORMAT);
}

static ssize_t exclusive_show(struct kobject *kobj, struct kobj_attribute *attr,
			      char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(luo_get()->exclusive));
}

static ssize_t exclusive_store(struct kobject *kobj, struct kobj_attribute *attr,
			       const char *buf, size_t len)
{
	bool exclusive;
	int err = kstrtobool(buf, &exclusive);

	if (err)
		return err;
	WRITE_ONCE(luo_get()->exclusive, exclusive);
	return len;
}

static ssize_t image_room_show(struct kobject *kobj,
			       struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", kho_image_room());
}

static struct kobj_attribute luo_attr_image_room = __ATTR_RO(image_room);
static struct kobj_attribute luo_attr_state = __ATTR_RO(state);
static struct kobj_attribute luo_attr_number = __ATTR_RO(number);
static struct kobj_attribute luo_attr_abi = __ATTR_RO(abi);
static struct kobj_attribute luo_attr_exclusive = __ATTR_RW(exclusive);

static struct attribute *luo_attrs[] = {
	&luo_attr_state.attr,
	&luo_attr_number.attr,
	&luo_attr_abi.attr,
	&luo_attr_exclusive.attr,
	&luo_attr_image_room.attr,
	&luo_attr_outgoing_sessions.attr,
	&luo_attr_outgoing_files.attr,
	&luo_attr_incoming_sessions.attr,
	&luo_attr_incoming_files.attr,
	NULL
};

static const struct attribute_group luo_group = {
	.attrs = luo_attrs,
};

/* ---- blackout ---- */

/* Milestones on the way from reboot() to the first open, in order. */
enum luo_milestone {
	LUO_AT_REBOOT,
	LUO_AT_FROZEN,
	LUO_AT_ENTRY,
	LUO_AT_MAP_BEGIN,
	LUO_AT_MAP_END,
	LUO_AT_LUO_BEGIN,
	LUO_AT_LUO_END,
	LUO_AT_OPEN,
};

static u64 luo_milestone(const struct luo_stamps *stamps, enum luo_milestone at)
{
	const struct kho_boot_stamps *boot = kho_boot_stamps();

	if (!stamps->before.magic || !boot)
		return 0;

	switch (at) {
	case LUO_AT_REBOOT:
		return stamps->before.reboot;
	case LUO_AT_FROZEN:
		return stamps->before.frozen;
	case LUO_AT_ENTRY:
		return boot->entry;
	case LUO_AT_MAP_BEGIN:
		return boot->map_begin;
	case LUO_AT_MAP_END:
		return boot->map_end;
	case LUO_AT_LUO_BEGIN:
		return stamps->luo_begin;
	case LUO_AT_LUO_END:
		return stamps->luo_end;
	case LUO_AT_OPEN:
		return stamps->first_open;
	}
	return 0;
}

static ssize_t luo_emit_phase(char *buf, enum luo_milestone from,
			      enum luo_milestone to)
{
	const struct luo_stamps *stamps = &luo_get()->stamps;
	u64 begin = luo_milestone(stamps, from);
	u64 end = luo_milestone(stamps, to);
	u64 ns;

	/* No live update, or a counter that was reset on the way. */
	if (!begin || end < begin)
		return -ENODATA;
	/* The old kernel had more time to measure the frequency. */
	if (luo_cycles_to_ns(end - begin, stamps->before.khz, &ns))
		return -ENODATA;
	return sysfs_emit(buf, "%llu\n", ns);
}

#define LUO_PHASE_ATTR(_name, _from, _to)					\
static ssize_t _name##_show(struct kobject *kobj,				\
			    struct kobj_attribute *attr, char *buf)		\
{										\
	return luo_emit_phase(buf, _from, _to);					\
}										\
static struct kobj_attribute luo_attr_##_name = __ATTR_RO(_name)

LUO_PHASE_ATTR(freeze_ns, LUO_AT_REBOOT, LUO_AT_FROZEN);
LUO_PHASE_ATTR(jump_ns, LUO_AT_FROZEN, LUO_AT_ENTRY);
LUO_PHASE_ATTR(setup_ns, LUO_AT_ENTRY, LUO_AT_MAP_BEGIN);
LUO_PHASE_ATTR(map_ns, LUO_AT_MAP_BEGIN, LUO_AT_MAP_END);
LUO_PHASE_ATTR(boot_ns, LUO_AT_MAP_END, LUO_AT_LUO_BEGIN);
LUO_PHASE_ATTR(luo_ns, LUO_AT_LUO_BEGIN, LUO_AT_LUO_END);
LUO_PHASE_ATTR(open_ns, LUO_AT_LUO_END, LUO_AT_OPEN);

static struct attribute *luo_blackout_attrs[] = {
	&luo_attr_freeze_ns.attr,
	&luo_attr_jump_ns.attr,
	&luo_attr_setup_ns.attr,
	&luo_attr_map_ns.attr,
	&luo_attr_boot_ns.attr,
	&luo_attr_luo_ns.attr,
	&luo_attr_open_ns.attr,
	NULL
};

static const struct attribute_group luo_blackout_group = {
	.name = "blackout",
	.attrs = luo_blackout_attrs,
};

static const struct attribute_group *luo_groups[] = {
	&luo_group,
	&luo_blackout_group,
	NULL
};

/* ---- debugfs ---- */

static const char * const luo_session_state_names[LUO_SESSION_STATES] = {
	[LUO_SESSION_OUTGOING]	= "outgoing",
	[LUO_SESSION_INCOMING]	= "incoming",
	[LUO_SESSION_RETRIEVED]	= "retrieved",
	[LUO_SESSION_FINISHED]	= "finished",
	[LUO_SESSION_DAMAGED]	= "damaged",
};

static const char * const luo_file_state_names[] = {
	[LUO_FILE_PRESERVED]	= "preserved",
	[LUO_FILE_FROZEN]	= "frozen",
	[LUO_FILE_INCOMING]	= "incoming",
	[LUO_FILE_RETRIEVED]	= "retrieved",
	[LUO_FILE_FAILED]	= "failed",
	[LUO_FILE_DAMAGED]	= "damaged",
	[LUO_FILE_LOST]		= "lost",
};

static void *luo_show_start(struct seq_file *m, loff_t *pos)
{
	struct luo_count count;

	luo_read_count(LUO_INCOMING, &count);
	return luo_session_next(luo_get(), *pos);
}

/* Positions are sequence numbers, so that nobody is shown twice. */
static void *luo_show_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct liveupdate_session *session = v;

	*pos = session->seq + 1;
	luo_session_put(session);
	return luo_session_next(luo_get(), *pos);
}

static void luo_show_stop(struct seq_file *m, void *v)
{
	if (v)
		luo_session_put(v);
}

static void luo_show_file(struct seq_file *m, const struct luo_file *f)
{
	char handler[LUO_HANDLER_NAME_LENGTH];

	luo_file_handler_name(f, handler);
	seq_printf(m, "  token %llu %s %s bytes %llu\n", f->token,
		   luo_file_state_names[f->state], handler, f->preserved_bytes);
}

static void luo_show_locked(struct seq_file *m, struct liveupdate_session *session)
{
	struct luo_file *f;
	u64 seq = 0;

	seq_puts(m, "session ");
	luo_session_show_name(m, session);
	seq_printf(m, " %s files %llu\n",
		   luo_session_state_names[READ_ONCE(session->state)],
		   session->files.count);
	while ((f = luo_file_next(&session->files, seq))) {
		luo_show_file(m, f);
		if (seq_has_overflowed(m))
			break;
		seq = f->seq + 1;
	}
}

/**
 * luo_show_session - List a session and its files.
 * @m: Where to.
 * @v: Session; an operation of a file of it may take its time.
 *
 * Return: 0, or -EINTR if who looks is killed.
 */
int luo_show_session(struct seq_file *m, void *v)
{
	struct liveupdate_session *session = v;

	if (mutex_lock_killable(&session->lock))
		return -EINTR;
	luo_show_locked(m, session);
	mutex_unlock(&session->lock);
	return 0;
}

static const struct seq_operations luo_debugfs_sops = {
	.start	= luo_show_start,
	.next	= luo_show_next,
	.stop	= luo_show_stop,
	.show	= luo_show_session,
};
DEFINE_SEQ_ATTRIBUTE(luo_debugfs);

/**
 * luo_sysfs_init - Make our files in sysfs and debugfs.
 *
 * Return: 0 or a negative errno.
 */
int __init luo_sysfs_init(void)
{
	struct kobject *kobj = kobject_create_and_add("liveupdate", kernel_kobj);
	struct dentry *dir;
	int err;

	if (!kobj)
		return -ENOMEM;

	err = sysfs_create_groups(kobj, luo_groups);
	if (err) {
		kobject_put(kobj);
		return err;
	}
	dir = debugfs_create_dir("liveupdate", NULL);
	debugfs_create_file("sessions", 0400, dir, NULL, &luo_debugfs_fops);
	return 0;
}
