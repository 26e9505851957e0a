/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live Update Orchestrator: for file handlers and for the kexec path.
 *
 * How to write a handler is told in Documentation/core-api/liveupdate.rst.
 */
#ifndef _LINUX_LIVEUPDATE_H
#define _LINUX_LIVEUPDATE_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/kho/abi/luo.h>

struct file;
struct liveupdate_file_handler;
struct liveupdate_flb;
struct liveupdate_session;
struct module;

/**
 * LIVEUPDATE_READS - Say in the kernel's image what it can take over.
 * @_formats: Names of formats, separated by a space.
 *
 * For who wants to know before the kernel is loaded: `luoctl check` looks for
 * these strings.
 */
#define LIVEUPDATE_READS(_formats)					\
	static const char __UNIQUE_ID(liveupdate_reads)[] __used =	\
		"liveupdate-reads: " _formats

/**
 * enum liveupdate_retry - What it means that retrieve failed.
 * @LIVEUPDATE_RETRY_BY_ERRNO: -ENOMEM, -ENODEV, -EPROBE_DEFER, -EAGAIN, -EBUSY,
 *                             -EMFILE, -ENFILE, -EINTR, -ERESTARTSYS and -ELOOP
 *                             may pass, any other error is final.
 * @LIVEUPDATE_RETRY_LATER:    It may pass: nothing has changed.
 * @LIVEUPDATE_RETRY_NEVER:    It is final.
 */
enum liveupdate_retry {
	LIVEUPDATE_RETRY_BY_ERRNO,
	LIVEUPDATE_RETRY_LATER,
	LIVEUPDATE_RETRY_NEVER,
};

/**
 * struct liveupdate_file_op_args - What a file operation is told.
 * @handler:         Handler the operation belongs to.
 * @session:         Session of the file, locked; for
 *                   liveupdate_get_token_outgoing() and
 *                   liveupdate_get_file_incoming().
 * @token:           Token of the file in @session.
 * @retrieve_status: 0 if retrieve was never tried, 1 if it succeeded, else the
 *                   error it ended with. A finish that finds @serialized_data
 *                   damaged, or not this file's, sets -EBADMSG.
 * @file:            The file; set by retrieve. NULL in finish if the file was
 *                   never retrieved.
 * @serialized_data: Set by preserve, handed over, read by retrieve and finish. 0
 *                   in finish if retrieve said -EBADMSG.
 * @private_data:    The handler's own; kept for the life of the file in this
 *                   kernel, not handed over.
 * @preserved_bytes: Memory preserved for the file, may be set by preserve;
 *                   shown to the operator.
 * @retry:           May be set by a retrieve that fails.
 */
struct liveupdate_file_op_args {
	struct liveupdate_file_handler *handler;
	struct liveupdate_session *session;
	u64 token;
	int retrieve_status;
	struct file *file;
	u64 serialized_data;
	void *private_data;
	u64 preserved_bytes;
	enum liveupdate_retry retry;
};

/**
 * struct liveupdate_file_ops - What a file handler can do.
 * @can_preserve: Say if the handler takes this file. Cheap, without side
 *                effects. Required.
 * @preserve:     Put the file's state into preserved memory and set
 *                @serialized_data, while the workload still runs. Required.
 * @unpreserve:   Undo preserve. Required.
 * @freeze:       The jump is near and userspace can no longer change the
 *                session: save what only now is final. May change
 *                @serialized_data. Files that depend on others come before
 *                these, else in order of preservation.
 * @unfreeze:     The jump was called off; undo a freeze that succeeded, and
 *                what it did to @serialized_data. In reverse order.
 * @settle:       Every file is frozen, every device was shut down, and the jump
 *                is next. Can't fail, and must not sleep: no other CPU runs any
 *                more, and no lock is held. In the order of freeze.
 * @unsettle:     The jump failed after all; undo settle. In reverse order, and
 *                under the same conditions: no device works any more.
 * @retrieve:     Make the file from @serialized_data and set @file. An error
 *                that may pass (see enum liveupdate_retry) has changed nothing,
 *                and it is called again when somebody asks again. After one
 *                that is final, @serialized_data is what is left to finish, or
 *                to hand over again. Required.
 * @can_finish:   Say if finish may be called now. Asked for all files of the
 *                session before the first is finished.
 * @finish:       Release what the handler still holds, and everything that was
 *                preserved if the file was never retrieved, as far as it makes
 *                sense. Newest file first. Required.
 * @get_id:       Identity of the thing behind the file, so that it can't be
 *                preserved twice. Default: the struct file itself.
 * @waiting:      Bytes that are yet to come into a retrieved file. Default: none.
 * @owner:        Module of the handler; pinned while it has files.
 *
 * Context: process context, may sleep, with the session's lock held; but for
 * settle and unsettle.
 */
struct liveupdate_file_ops {
	bool (*can_preserve)(struct liveupdate_file_handler *handler,
			     struct file *file);
	int (*preserve)(struct liveupdate_file_op_args *args);
	void (*unpreserve)(struct liveupdate_file_op_args *args);
	int (*freeze)(struct liveupdate_file_op_args *args);
	void (*unfreeze)(struct liveupdate_file_op_args *args);
	void (*settle)(struct liveupdate_file_op_args *args);
	void (*unsettle)(struct liveupdate_file_op_args *args);
	int (*retrieve)(struct liveupdate_file_op_args *args);
	bool (*can_finish)(struct liveupdate_file_op_args *args);
	void (*finish)(struct liveupdate_file_op_args *args);
	unsigned long (*get_id)(struct file *file);
	u64 (*waiting)(struct file *file);
	struct module *owner;
};

/**
 * struct liveupdate_file_handler - Preserves one kind of file.
 * @ops:        What it can do.
 * @compatible: Name of its format, found again in the next kernel.
 */
struct liveupdate_file_handler {
	const struct liveupdate_file_ops *ops;
	const char compatible[LUO_HANDLER_NAME_LENGTH];

	/* private: */
	struct list_head node;
	struct list_head flbs;
	unsigned long files;
	unsigned long retrieved;
	atomic_t users;
};

/**
 * struct liveupdate_flb_op_args - What an FLB operation is told.
 * @flb:      The FLB.
 * @data:     Set by preserve, handed over; carry may change it.
 * @obj:      Set by preserve and by retrieve; the live object.
 * @incoming: For carry and uncarry: the object that retrieve made.
 */
struct liveupdate_flb_op_args {
	struct liveupdate_flb *flb;
	u64 data;
	void *obj;
	void *incoming;
};

/**
 * struct liveupdate_flb_ops - State shared by many files.
 * @preserve:   The first file that depends on it is being preserved. Required.
 * @unpreserve: Undo preserve: the last such file was unpreserved. Required.
 * @retrieve:   Make @obj from @data in the next kernel, on demand. After an
 *              error @data is what is left to hand over or to retrieve again;
 *              after -EBADMSG it is left alone, and nothing is called any more.
 *              Required.
 * @finish:     The last dependent file was finished; release everything. @obj
 *              is NULL if nobody asked for it. Required.
 * @carry:      The jump is near, and files that came in with @incoming were
 *              never retrieved: make what they need part of @obj and @data,
 *              which preserve made. @incoming stays with its users.
 * @uncarry:    The jump was called off; undo a carry that succeeded. Both or
 *              neither.
 * @owner:      Module of all this; pinned while the FLB is preserved or
 *              retrieved. NULL if it is built in.
 *
 * Context: process context, may sleep, one at a time for each FLB.
 */
struct liveupdate_flb_ops {
	int (*preserve)(struct liveupdate_flb_op_args *args);
	void (*unpreserve)(struct liveupdate_flb_op_args *args);
	int (*retrieve)(struct liveupdate_flb_op_args *args);
	void (*finish)(struct liveupdate_flb_op_args *args);
	int (*carry)(struct liveupdate_flb_op_args *args);
	void (*uncarry)(struct liveupdate_flb_op_args *args);
	struct module *owner;
};

/**
 * struct liveupdate_flb - File-lifecycle-bound data.
 * @ops:        What it can do.
 * @compatible: Name of its format, found again in the next kernel.
 *
 * Lives as long as the module that owns it.
 */
struct liveupdate_flb {
	const struct liveupdate_flb_ops *ops;
	const char compatible[LUO_HANDLER_NAME_LENGTH];
};

#ifdef CONFIG_LIVEUPDATE

DECLARE_STATIC_KEY_FALSE(liveupdate_key);

/**
 * liveupdate_enabled - Say if live update is on.
 *
 * Context: any, from arch_initcall() on.
 * Return: true if the kernel was booted with liveupdate=on and can hand over.
 */
static inline bool liveupdate_enabled(void)
{
	return static_branch_unlikely(&liveupdate_key);
}

int liveupdate_reboot(void);
void liveupdate_settle(void);
void liveupdate_unsettle(void);

int liveupdate_register_file_handler(struct liveupdate_file_handler *fh);
void liveupdate_unregister_file_handler(struct liveupdate_file_handler *fh);

int liveupdate_register_flb(struct liveupdate_file_handler *fh,
			    struct liveupdate_flb *flb);
void liveupdate_unregister_flb(struct liveupdate_file_handler *fh,
			       struct liveupdate_flb *flb);

int liveupdate_flb_get_incoming(struct liveupdate_flb *flb, void **obj);
void liveupdate_flb_put_incoming(struct liveupdate_flb *flb);
int liveupdate_flb_get_outgoing(struct liveupdate_flb *flb, void **obj);
void liveupdate_flb_put_outgoing(struct liveupdate_flb *flb);

const char *liveupdate_session_name(const struct liveupdate_session *session);
bool liveupdate_session_was(const struct liveupdate_session *session,
			    const char *name);
int liveupdate_get_token_outgoing(struct liveupdate_session *session,
				  struct file *file, u64 *token);
void liveupdate_put_token_outgoing(struct liveupdate_session *session,
				   u64 token);
int liveupdate_get_file_incoming(struct liveupdate_session *session, u64 token,
				 struct file **file);
void liveupdate_put_file_incoming(struct liveupdate_session *session,
				  u64 token);
struct liveupdate_session *liveupdate_lock_incoming(const char *name);
void liveupdate_unlock_incoming(struct liveupdate_session *session);

#else /* CONFIG_LIVEUPDATE */

static inline bool liveupdate_enabled(void)
{
	return false;
}

static inline int liveupdate_reboot(void)
{
	return 0;
}

static inline void liveupdate_settle(void)
{
}

static inline void liveupdate_unsettle(void)
{
}

static inline int
liveupdate_register_file_handler(struct liveupdate_file_handler *fh)
{
	return -EOPNOTSUPP;
}

static inline void
liveupdate_unregister_file_handler(struct liveupdate_file_handler *fh)
{
}

static inline int liveupdate_register_flb(struct liveupdate_file_handler *fh,
					  struct liveupdate_flb *flb)
{
	return -EOPNOTSUPP;
}

static inline void liveupdate_unregister_flb(struct liveupdate_file_handler *fh,
					     struct liveupdate_flb *flb)
{
}

static inline int liveupdate_flb_get_incoming(struct liveupdate_flb *flb,
					      void **obj)
{
	return -EOPNOTSUPP;
}

static inline void liveupdate_flb_put_incoming(struct liveupdate_flb *flb)
{
}

static inline int liveupdate_flb_get_outgoing(struct liveupdate_flb *flb,
					      void **obj)
{
	return -EOPNOTSUPP;
}

static inline void liveupdate_flb_put_outgoing(struct liveupdate_flb *flb)
{
}

static inline const char *
liveupdate_session_name(const struct liveupdate_session *session)
{
	return "";
}

static inline bool
liveupdate_session_was(const struct liveupdate_session *session,
		       const char *name)
{
	return false;
}

static inline int
liveupdate_get_token_outgoing(struct liveupdate_session *session,
			      struct file *file, u64 *token)
{
	return -EOPNOTSUPP;
}

static inline void
liveupdate_put_token_outgoing(struct liveupdate_session *session, u64 token)
{
}

static inline int
liveupdate_get_file_incoming(struct liveupdate_session *session, u64 token,
			     struct file **file)
{
	return -EOPNOTSUPP;
}

static inline void
liveupdate_put_file_incoming(struct liveupdate_session *session, u64 token)
{
}

static inline struct liveupdate_session *
liveupdate_lock_incoming(const char *name)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void
liveupdate_unlock_incoming(struct liveupdate_session *session)
{
}

#endif /* CONFIG_LIVEUPDATE */
#endif /* _LINUX_LIVEUPDATE_H */
