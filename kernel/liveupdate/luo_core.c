// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instance: switched on by liveupdate=on, handed over and taken over
 * through KHO, frozen by reboot().
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cache.h>
#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/kstrtox.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/timex.h>
#include <linux/kho/abi/kexec_handover.h>

#ifdef CONFIG_X86
#include <asm/tsc.h>
#endif
#ifdef CONFIG_ARM64
#include <asm/arch_timer.h>
#endif

#include "luo_internal.h"

/* What a kernel of ours leaves at LUO_BLOB_NAME. */
struct luo_blob_ser {
	struct luo_root_ser root;
	struct luo_stamps_ser stamps;
};

static_assert(sizeof(struct luo_blob_ser) == 64);

LIVEUPDATE_READS(KHO_FDT_COMPATIBLE " " LUO_FORMAT);

DEFINE_STATIC_KEY_FALSE(liveupdate_key);
EXPORT_SYMBOL_GPL(liveupdate_key);

static struct luo luo_instance;

/**
 * luo_get - The kernel's own instance.
 *
 * Return: the instance; initialised if liveupdate_enabled().
 */
struct luo *luo_get(void)
{
	return &luo_instance;
}

/* ---- memory ---- */

static void *luo_kho_alloc(void)
{
	return kho_alloc_preserve(PAGE_SIZE);
}

static void *luo_kho_peek(u64 pa)
{
	return kho_peek(pa, PAGE_SIZE);
}

static void *luo_kho_claim(u64 pa)
{
	struct page *page = kho_restore_pages(pa, 1);

	if (!page)
		return NULL;

	/* The map has a place for this page already: it came in with it. */
	if (WARN_ON_ONCE(kho_preserve_pages(page, 1)))
		return NULL;
	return page_address(page);
}

const struct luo_memory luo_kho_memory = {
	.alloc	= luo_kho_alloc,
	.free	= kho_unpreserve_free,
	.peek	= luo_kho_peek,
	.claim	= luo_kho_claim,
	.hold	= kho_hold_unclaimed,
	.release = kho_release_unclaimed,
};

/* ---- time ---- */

static u64 luo_counter_khz(void)
{
#if defined(CONFIG_X86)
	return tsc_khz;
#elif defined(CONFIG_ARM64)
	return arch_timer_get_rate() / 1000;
#else
	return 0;
#endif
}

/**
 * luo_cycles - Read the counter that goes on across kexec.
 *
 * Return: counts since the machine was switched on, 0 if there is no such
 * counter.
 */
u64 luo_cycles(void)
{
	return luo_counter_khz() ? get_cycles() : 0;
}

/**
 * luo_cycles_to_ns - Make time of cycles that another kernel may have counted.
 * @cycles: Counts.
 * @khz:    Counts per millisecond.
 * @ns:     Gets nanoseconds.
 *
 * Return: 0, or -ERANGE if that is no number of 64 bits.
 */
int luo_cycles_to_ns(u64 cycles, u64 khz, u64 *ns)
{
	if (mul_u64_u64_shr(cycles, USEC_PER_SEC, 64) >= khz)
		return -ERANGE;

	*ns = mul_u64_u64_div_u64(cycles, USEC_PER_SEC, khz);
	return 0;
}

/* ---- gate ---- */

/**
 * luo_enter - Begin to change sessions.
 * @luo: Instance.
 *
 * Waits while reboot() is under way. Pair with luo_exit().
 *
 * Return: 0, or -EINTR if the caller is killed while it waits.
 */
int luo_enter(struct luo *luo)
{
	do {
		/* Behind a reboot() that waits for somebody slow, too. */
		if (down_read_killable(&luo->gate))
			return -EINTR;
		if (!luo->frozen)
			return 0;
		up_read(&luo->gate);
	} while (!wait_event_killable(luo->thawed, !READ_ONCE(luo->frozen)));
	return -EINTR;
}

/**
 * luo_enter_uninterruptible - luo_enter() for those who can't give up.
 * @luo: Instance.
 */
void luo_enter_uninterruptible(struct luo *luo)
{
	down_read(&luo->gate);
	while (luo->frozen) {
		up_read(&luo->gate);
		wait_event(luo->thawed, !READ_ONCE(luo->frozen));
		down_read(&luo->gate);
	}
}

/**
 * luo_exit - Done with changing sessions.
 * @luo: Instance.
 */
void luo_exit(struct luo *luo)
{
	up_read(&luo->gate);
}

/* Who is inside may wait for a device, for as long as that likes. */
static int luo_close_gate(struct luo *luo)
{
	int err = down_write_killable(&luo->gate);

	if (err)
		return err;
	WRITE_ONCE(luo->frozen, true);
	up_write(&luo->gate);
	return 0;
}

static void luo_open_gate(struct luo *luo)
{
	down_write(&luo->gate);
	WRITE_ONCE(luo->frozen, false);
	up_write(&luo->gate);
	wake_up_all(&luo->thawed);
}

/* ---- reboot ---- */

static struct luo_stamps_ser *luo_stamps_out(struct luo *luo)
{
	return &container_of(luo->root, struct luo_blob_ser, root)->stamps;
}

static int luo_refuse_image(void)
{
	pr_err("the loaded kernel can't receive the sessions: load it with kexec_file_load() (kexec -s)\n");
	return -EOPNOTSUPP;
}

static bool luo_has_sessions(struct luo *luo)
{
	guard(mutex)(&luo->lock);
	return luo->root->sessions;
}

static int luo_refuse_lost(struct luo *luo)
{
	guard(mutex)(&luo->lock);
	if (!luo->lost_files)
		return 0;

	pr_warn("%llu files can't be handed over, their handlers are gone: take them out or close their sessions\n",
		luo->lost_files);
	return -ENODEV;
}

static int luo_freeze_sessions(struct luo *luo)
{
	int err;

	err = luo_refuse_lost(luo);
	if (err)
		return err;
	err = luo_sessions_carry(luo);
	if (err)
		return err;

	err = luo_flbs_carry(luo);
	if (err)
		goto err_uncarry_sessions;

	err = luo_files_freeze(luo);
	if (err)
		goto err_uncarry_flbs;
	return 0;

err_uncarry_flbs:
	luo_flbs_uncarry(luo);
err_uncarry_sessions:
	luo_sessions_uncarry(luo);
	return err;
}

/**
 * luo_freeze - Close the gate and make everything ready for the jump.
 * @luo:         Instance.
 * @image_ready: The next kernel will be told where to find the sessions.
 *
 * Return: 0, and no session changes any more; or -EOPNOTSUPP, -EBUSY, -EINTR if
 * the caller is killed, or a handler's error, and nothing has changed.
 */
int luo_freeze(struct luo *luo, bool image_ready)
{
	u64 begin = luo_cycles();
	int err = luo_close_gate(luo);

	if (err)
		return err;
	if (image_ready)
		err = luo_freeze_sessions(luo);
	else if (luo_has_sessions(luo))
		err = luo_refuse_image();
	if (err) {
		luo_open_gate(luo);
		luo_flb_drop_orphans(luo);
		return err;
	}
	*luo_stamps_out(luo) = (struct luo_stamps_ser) {
		.magic = LUO_STAMPS_MAGIC,
		.khz = luo_counter_khz(),
		.reboot = begin,
		.frozen = luo_cycles(),
	};
	return 0;
}

static bool luo_image_ready(const struct kimage *image)
{
	return image && image->kho.fdt && image->kho.scratch;
}

/* What came in and is handed on as it is, since live update is off. */
static const struct luo_root_ser *luo_handed_on __ro_after_init;

/**
 * liveupdate_reboot - Get ready to jump into the loaded kernel.
 *
 * Freezes every preserved file. After success no session changes any more. With
 * live update off, there may still be sessions for a later kernel.
 *
 * Context: process context, with the kexec lock held, before anything is shut
 * down.
 * Return: 0; -EOPNOTSUPP if there are sessions and the loaded image can't
 * receive them; -EBUSY; -EINTR if the caller is killed while others are busy
 * with sessions; or the error of a handler that could not freeze. After an error
 * nothing has changed.
 */
int liveupdate_reboot(void)
{
	bool image_ready = luo_image_ready(kexec_image);

	/* Comes back to this kernel, whose sessions live on. */
	if (kexec_image->preserve_context)
		return 0;
	if (liveupdate_enabled())
		return luo_freeze(&luo_instance, image_ready);
	return luo_handed_on && !image_ready ? luo_refuse_image() : 0;
}

/**
 * liveupdate_settle - The jump is next.
 *
 * Tells the handlers that want to know.
 *
 * Context: as machine_kexec(): no other CPU runs any more; must not sleep.
 */
void liveupdate_settle(void)
{
	if (liveupdate_enabled() && luo_instance.frozen)
		luo_files_settle(&luo_instance);
}

/**
 * liveupdate_unsettle - Undo liveupdate_settle(): the jump failed after all.
 *
 * Context: as liveupdate_settle().
 */
void liveupdate_unsettle(void)
{
	if (liveupdate_enabled() && luo_instance.frozen)
		luo_files_unsettle(&luo_instance);
}

/* ---- life ---- */

static int luo_root_make(struct luo *luo, const struct luo_root_ser *incoming)
{
	struct luo_blob_ser *blob = luo->memory->alloc();

	if (IS_ERR(blob))
		return PTR_ERR(blob);

	luo->root = &blob->root;
	strscpy_pad(luo->root->format, LUO_FORMAT);
	luo->number = incoming ? incoming->number : 0;
	luo->root->number = luo->number + 1;
	/* Sessions that nobody asks for are handed over as they came. */
	luo->root->sessions = incoming ? incoming->sessions : 0;
	luo->root->flb = incoming ? incoming->flb : 0;
	luo->holds_unclaimed = luo->root->sessions || luo->root->flb;
	if (luo->holds_unclaimed)
		luo->memory->hold();
	return 0;
}

/**
 * luo_init - Start an instance.
 * @luo:      Instance to initialise.
 * @memory:   Where records live.
 * @incoming: Valid root of the previous kernel, or NULL.
 *
 * Return: 0 or -ENOMEM.
 */
int luo_init(struct luo *luo, const struct luo_memory *memory,
	     const struct luo_root_ser *incoming)
{
	unsigned int i;

	*luo = (struct luo) { .memory = memory, .exclusive = true };
	init_rwsem(&luo->gate);
	init_waitqueue_head(&luo->thawed);
	init_rwsem(&luo->handlers_lock);
	INIT_LIST_HEAD(&luo->handlers);
	mutex_init(&luo->flb_lock);
	INIT_LIST_HEAD(&luo->flbs);
	mutex_init(&luo->lock);
	luo->next_seq = 1;
	for (i = 0; i < LUO_DEPENDENCY_DEPTH; i++)
		INIT_LIST_HEAD(&luo->freeze_files[i]);
	luo_chain_init(&luo->chain, memory, sizeof(struct luo_session_ser),
		       incoming ? incoming->sessions : 0);
	luo->chain.sessions = true;
	return luo_root_make(luo, incoming);
}

/**
 * luo_destroy - End an instance whose sessions are all closed or unclaimed.
 * @luo: Instance.
 */
void luo_destroy(struct luo *luo)
{
	struct liveupdate_session *session;
	struct rb_node *node;

	while ((node = rb_first(&luo->by_seq))) {
		session = rb_entry(node, struct liveupdate_session, by_seq);
		rb_erase(node, &luo->by_seq);
		mutex_lock(&session->lock);
		luo_file_set_forget(session);
		mutex_unlock(&session->lock);
		luo_session_put(session);
	}
	luo_chain_free(&luo->chain);
	luo_flbs_free(luo);
	luo->memory->free(luo->root);
}

static bool luo_root_valid(const struct luo_root_ser *root, size_t size)
{
	if (size < sizeof(*root)) {
		pr_warn("the previous kernel's sessions are lost: root of %zu bytes\n",
			size);
		return false;
	}
	if (strncmp(root->format, LUO_FORMAT, sizeof(root->format))) {
		pr_warn("the previous kernel's sessions are lost: format %*pE, not %s\n",
			(int)strnlen(root->format, sizeof(root->format)),
			root->format, LUO_FORMAT);
		return false;
	}
	return true;
}

/* An ERR_PTR if there is none: -ENOENT, or -EBADMSG if there was one. */
static const struct luo_root_ser *__init luo_find_incoming(phys_addr_t *pa,
							   size_t *size)
{
	const struct luo_root_ser *root;
	int err;

	err = kho_retrieve_subtree(LUO_BLOB_NAME, pa, size);
	if (err == -ENOENT)
		return ERR_PTR(err);
	if (err) {
		pr_warn("the previous kernel's sessions are lost: %pe\n",
			ERR_PTR(err));
		return ERR_PTR(-EBADMSG);
	}
	root = *size <= PAGE_SIZE ? kho_peek(*pa, PAGE_SIZE) : NULL;
	if (!root) {
		pr_warn("the previous kernel's sessions are lost: no root at %pa\n",
			pa);
		return ERR_PTR(-EBADMSG);
	}
	return luo_root_valid(root, *size) ? root : ERR_PTR(-EBADMSG);
}

static void __init luo_read_stamps(struct luo *luo,
				   const struct luo_root_ser *root, size_t size)
{
	const struct luo_blob_ser *blob =
		container_of(root, struct luo_blob_ser, root);

	if (size >= sizeof(*blob) && blob->stamps.magic == LUO_STAMPS_MAGIC &&
	    blob->stamps.khz && luo_counter_khz())
		luo->stamps.before = blob->stamps;
}

static int __init luo_start(struct luo *luo)
{
	const struct luo_root_ser *incoming;
	u64 begin = luo_cycles();
	phys_addr_t pa;
	size_t size;
	int err;

	incoming = luo_find_incoming(&pa, &size);
	err = luo_init(luo, &luo_kho_memory, IS_ERR(incoming) ? NULL : incoming);
	if (err)
		return err;

	luo->stamps.luo_begin = begin;
	if (!IS_ERR(incoming))
		luo_read_stamps(luo, incoming, size);
	luo->sessions_lost = incoming == ERR_PTR(-EBADMSG);
	luo->flbs_lost = luo->sessions_lost;

	err = kho_add_subtree(LUO_BLOB_NAME, luo->root,
			      sizeof(struct luo_blob_ser));
	if (err) {
		if (luo->holds_unclaimed)
			luo->memory->release();
		luo->memory->free(luo->root);
		return err;
	}
	if (!IS_ERR(incoming))
		kho_restore_free(luo_kho_peek(pa));
	luo->stamps.luo_end = luo_cycles();
	return 0;
}

/* Without anybody to receive it, what came is handed on as it is. */
static void __init luo_hand_on(void)
{
	struct luo_root_ser *root;
	phys_addr_t pa;
	size_t size;
	int err;

	if (IS_ERR(luo_find_incoming(&pa, &size)))
		return;
	root = luo_kho_claim(pa);
	if (!root)
		return;

	root->number++;
	/* Times of this kernel's birth are not in it. */
	if (size >= sizeof(struct luo_blob_ser))
		container_of(root, struct luo_blob_ser, root)->stamps.magic = 0;
	err = kho_add_subtree(LUO_BLOB_NAME, root, size);
	if (err) {
		pr_warn("off, and the previous kernel's sessions are lost: %pe\n",
			ERR_PTR(err));
		kho_unpreserve_free(root);
	} else if (root->sessions) {
		luo_handed_on = root;
		kho_hold_unclaimed();
		pr_warn("off: the previous kernel's sessions are kept for one with liveupdate=on\n");
	}
}

/* It is to be switched on, and that has not been tried yet. */
static bool luo_awaited __ro_after_init;

static int __init liveupdate_setup(char *arg)
{
	return kstrtobool(arg, &luo_awaited);
}
early_param("liveupdate", liveupdate_setup);

/* Nothing can be handed on, either. */
static void __init luo_without_handover(void)
{
	const struct luo_root_ser *root;
	phys_addr_t pa;
	size_t size;

	root = luo_find_incoming(&pa, &size);
	if (!IS_ERR(root) && root->sessions)
		pr_warn("the previous kernel's sessions are lost: booted without kho=on\n");
	else if (luo_awaited)
		pr_warn("off, as kexec handover is: boot with kho=on\n");
}

static int __init luo_boot(void)
{
	int err;

	if (!kho_is_enabled()) {
		luo_without_handover();
		return 0;
	}
	if (!luo_awaited) {
		luo_hand_on();
		return 0;
	}
	err = luo_start(&luo_instance);
	if (err) {
		pr_err("off: %pe\n", ERR_PTR(err));
		luo_hand_on();
		return err;
	}
	static_branch_enable(&liveupdate_key);
	return 0;
}

/*
 * As soon as handover is up and has shown in debugfs what came in: buses, IOMMUs
 * and devices look for their state from then on.
 */
static int __init liveupdate_init(void)
{
	int err = luo_boot();

	luo_awaited = false;
	return err;
}
postcore_initcall_sync(liveupdate_init);

static int __init liveupdate_interfaces_init(void)
{
	int err;

	if (!liveupdate_enabled())
		return 0;

	err = luo_sysfs_init();
	if (err)
		pr_warn("no files in sysfs: %pe\n", ERR_PTR(err));
	return luo_device_init();
}
late_initcall(liveupdate_interfaces_init);

/* ---- for handlers ---- */

static int luo_ready(void)
{
	if (liveupdate_enabled())
		return 0;
	return luo_awaited ? -EPROBE_DEFER : -EOPNOTSUPP;
}

/**
 * liveupdate_register_file_handler - Add a file handler.
 * @fh: Handler; must live until it is unregistered.
 *
 * Records that wait for this handler can be retrieved from now on.
 *
 * Context: process context, may sleep; not inside a callback.
 * Return: 0; -EOPNOTSUPP if live update is off; -EPROBE_DEFER before
 * arch_initcall(); -EINVAL if a required operation is missing or
 * @compatible is empty or not terminated; -EEXIST if another handler has the
 * name.
 */
int liveupdate_register_file_handler(struct liveupdate_file_handler *fh)
{
	return luo_ready() ?: luo_handler_register(&luo_instance, fh);
}
EXPORT_SYMBOL_GPL(liveupdate_register_file_handler);

/**
 * liveupdate_unregister_file_handler - Take a file handler away.
 * @fh: Handler; ignored if it is not registered.
 *
 * Files that it has, which it can only have if its module is not pinned by
 * them, are lost before this returns: unpreserved or finished, after those that
 * depend on them. If reboot() is under way they are left as they are. Either way
 * no operation of @fh runs afterwards.
 *
 * Context: process context, may sleep; not inside a callback, and without a
 * lock that one of them takes.
 */
void liveupdate_unregister_file_handler(struct liveupdate_file_handler *fh)
{
	if (liveupdate_enabled())
		luo_handler_unregister(&luo_instance, fh);
}
EXPORT_SYMBOL_GPL(liveupdate_unregister_file_handler);

/**
 * liveupdate_register_flb - Make files of a handler depend on an FLB.
 * @fh:  Registered handler.
 * @flb: FLB; may be registered with several handlers.
 *
 * Of the FLBs of a handler those registered first are preserved first, so that
 * the others can use them.
 *
 * Context: process context, may sleep; not inside a callback.
 * Return: 0; -EOPNOTSUPP if live update is off; -EPROBE_DEFER before
 * arch_initcall(); -EINVAL if an operation is missing, the owner is not
 * said, the name is not valid or @fh is not registered; -EEXIST if @fh has this
 * FLB or another FLB has the name; -EBUSY if @fh has preserved files, or
 * reboot() is under way and nobody looked for an FLB before; -ENOMEM.
 */
int liveupdate_register_flb(struct liveupdate_file_handler *fh,
			    struct liveupdate_flb *flb)
{
	return luo_ready() ?: luo_flb_register(&luo_instance, fh, flb);
}
EXPORT_SYMBOL_GPL(liveupdate_register_flb);

/**
 * liveupdate_unregister_flb - Undo liveupdate_register_flb().
 * @fh:  Handler.
 * @flb: FLB; if @fh has preserved files, those keep it until the last is gone.
 *
 * Context: process context, may sleep; not inside a callback.
 */
void liveupdate_unregister_flb(struct liveupdate_file_handler *fh,
			       struct liveupdate_flb *flb)
{
	if (liveupdate_enabled())
		luo_flb_unregister(&luo_instance, fh, flb);
}
EXPORT_SYMBOL_GPL(liveupdate_unregister_flb);

/**
 * liveupdate_flb_get_incoming - Use what the previous kernel left of an FLB.
 * @flb: FLB, registered or not.
 * @obj: Gets the live object.
 *
 * Calls @flb's retrieve the first time. Its finish waits for
 * liveupdate_flb_put_incoming(), which is to be called once for each success.
 *
 * Context: process context, may sleep; also inside a callback of a file, of a
 * probe and of another FLB.
 * Return: 0; -ENOENT if nothing was left, or all that was left is finished;
 * -EPROBE_DEFER before arch_initcall(); -EBADMSG if something was left and
 * is damaged; -EOPNOTSUPP if live update is off; -EINVAL if @flb could not be
 * registered; -EEXIST if another FLB has the name; -EDEADLK if FLBs ask for
 * each other in a circle; -EBUSY if reboot() is under way and nobody asked
 * before; -ENODEV if its module goes; -ENOMEM; -EINTR if the caller is killed;
 * else the error of @flb.
 */
int liveupdate_flb_get_incoming(struct liveupdate_flb *flb, void **obj)
{
	return luo_ready() ?: luo_flb_get_incoming(&luo_instance, flb, obj);
}
EXPORT_SYMBOL_GPL(liveupdate_flb_get_incoming);

/**
 * liveupdate_flb_put_incoming - End liveupdate_flb_get_incoming().
 * @flb: FLB.
 *
 * Context: process context, may sleep.
 */
void liveupdate_flb_put_incoming(struct liveupdate_flb *flb)
{
	luo_flb_put_incoming(&luo_instance, flb);
}
EXPORT_SYMBOL_GPL(liveupdate_flb_put_incoming);

/**
 * liveupdate_flb_get_outgoing - Use an FLB that is preserved.
 * @flb: FLB.
 * @obj: Gets the live object.
 *
 * Its unpreserve waits for liveupdate_flb_put_outgoing().
 *
 * Context: process context, may sleep; also inside a callback of a file and of
 * another FLB.
 * Return: 0; -ENOENT if no file that depends on @flb is preserved; else as
 * liveupdate_flb_get_incoming().
 */
int liveupdate_flb_get_outgoing(struct liveupdate_flb *flb, void **obj)
{
	return luo_ready() ?: luo_flb_get_outgoing(&luo_instance, flb, obj);
}
EXPORT_SYMBOL_GPL(liveupdate_flb_get_outgoing);

/**
 * liveupdate_flb_put_outgoing - End liveupdate_flb_get_outgoing().
 * @flb: FLB.
 *
 * Context: process context, may sleep.
 */
void liveupdate_flb_put_outgoing(struct liveupdate_flb *flb)
{
	luo_flb_put_outgoing(&luo_instance, flb);
}
EXPORT_SYMBOL_GPL(liveupdate_flb_put_outgoing);

/**
 * liveupdate_lock_incoming - Find an incoming session for a driver.
 * @name: Name of the session.
 *
 * For drivers that need files of a session before userspace asks for it.
 *
 * Context: process context, may sleep; not inside a callback, nor by a task
 * that has a session locked already.
 * Return: the session, locked until liveupdate_unlock_incoming(), or an
 * ERR_PTR: -ENOENT if there is none, -EPROBE_DEFER before arch_initcall(),
 * -EBADMSG if it is damaged, or may be among those that are; -EOPNOTSUPP if
 * live update is off; -ENOMEM, -EINTR.
 */
struct liveupdate_session *liveupdate_lock_incoming(const char *name)
{
	int err = luo_ready() ?: luo_enter(&luo_instance);
	struct liveupdate_session *session;

	if (err)
		return ERR_PTR(err);

	session = luo_session_lock_incoming(&luo_instance, name);
	if (IS_ERR(session))
		luo_exit(&luo_instance);
	return session;
}
EXPORT_SYMBOL_GPL(liveupdate_lock_incoming);

/**
 * liveupdate_unlock_incoming - End liveupdate_lock_incoming().
 * @session: Session.
 *
 * Context: process context, by the task that locked.
 */
void liveupdate_unlock_incoming(struct liveupdate_session *session)
{
	mutex_unlock(&session->lock);
	luo_session_put(session);
	luo_exit(&luo_instance);
}
EXPORT_SYMBOL_GPL(liveupdate_unlock_incoming);
