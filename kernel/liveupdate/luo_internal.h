/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live Update Orchestrator: our own types.
 *
 * Words of this directory:
 *
 * session	A named set of files; outgoing if made here, incoming if it came
 *		from the previous kernel.
 * record	Fixed-size description of a session, file or FLB in memory that
 *		the next kernel reads; its C type ends in _ser.
 * block	Preserved page of records.
 * chain	Linked blocks.
 * slot		Place of one record in a chain; an object owns its slot.
 * token	Userspace's number for a file within its session.
 * carried over	An incoming session that nobody finished is handed over again.
 *
 * Records are valid at every moment: reboot() writes only what handlers give
 * it in freeze. An incoming session's record stays where the previous kernel
 * wrote it until the session is finished, so carrying it over costs nothing.
 *
 * Lock order: luo::gate -> liveupdate_session::lock -> luo_flb::lock, or
 * luo::handlers_lock -> luo::flb_lock -> luo::lock. Callbacks of handlers run
 * inside the gate, or in reboot(), with the session's lock; those of FLBs with
 * luo_flb::lock, and perhaps neither gate nor session.
 */
#ifndef _LUO_INTERNAL_H
#define _LUO_INTERNAL_H

#include <linux/kref.h>
#include <linux/liveupdate.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/rwsem.h>
#include <linux/wait.h>
#include <linux/kho/abi/luo.h>

struct luo;
struct mem_cgroup;
struct seq_file;
struct task_struct;

/* So many files in a row may depend on the next; the stack is finite. */
#define LUO_DEPENDENCY_DEPTH	8

/*
 * Where records live. The real one is KHO; tests have their own that fails on
 * demand.
 */
struct luo_memory {
	/* A zeroed, preserved page or an ERR_PTR. */
	void *(*alloc)(void);
	/* Undo alloc or claim. */
	void (*free)(void *page);
	/* Look at a page of the previous kernel; NULL if @pa isn't one. */
	void *(*peek)(u64 pa);
	/* Make a page of the previous kernel ours; it stays preserved. */
	void *(*claim)(u64 pa);
	/*
	 * What the previous kernel preserved goes on if nobody claims it; and, when
	 * all who wanted that are done, does not any more.
	 */
	void (*hold)(void);
	void (*release)(void);
};

extern const struct luo_memory luo_kho_memory;

/* ---- luo_records*.c ---- */

struct luo_slot {
	struct luo_block *block;
	u32 index;
};

struct luo_block {
	struct list_head node;
	struct luo_block_ser *ser;
	struct luo_slot *owners[];
};

/*
 * @blocks are ours, oldest first, and all but the last one are full unless the
 * previous kernel left them otherwise. @incoming is the first block that has
 * not been taken over from the previous kernel yet.
 */
struct luo_chain {
	const struct luo_memory *memory;
	struct list_head blocks;
	u64 incoming;
	u64 count;
	/* What new blocks are noted for: luo_owner_of() a session, or 0. */
	u64 owner;
	/* The records are of sessions. */
	bool sessions;
	u32 record_size;
	u32 per_block;
};

void luo_chain_init(struct luo_chain *chain, const struct luo_memory *memory,
		    u32 record_size, u64 incoming);
u64 luo_chain_first(struct luo_chain *chain);
int luo_chain_add(struct luo_chain *chain, struct luo_slot *slot);
void luo_chain_remove(struct luo_chain *chain, struct luo_slot *slot);
u64 luo_chain_drop_unowned(struct luo_chain *chain);
void luo_chain_free(struct luo_chain *chain);
void luo_chain_forget(struct luo_chain *chain);
void *luo_block_record(const struct luo_chain *chain,
		       const struct luo_block *block, u32 index);
void *luo_slot_record(const struct luo_chain *chain, const struct luo_slot *slot);
void luo_slot_own(struct luo_slot *slot, struct luo_block *block, u32 index);

/* luo_records_incoming.c */
int luo_chain_take_over(struct luo_chain *chain, u64 records);
u64 luo_chain_incoming_owner(const struct luo_chain *chain);

/* True if the array @field holds at least one character and a NUL. */
#define luo_name_valid(field)							\
	(strnlen((const char *)(field), sizeof(field) + __must_be_array(field)) \
	 - 1 < sizeof(field) - 1)

/* ---- luo_file.c ---- */

enum luo_file_state {
	LUO_FILE_PRESERVED,	/* outgoing */
	LUO_FILE_FROZEN,	/* outgoing, freeze succeeded */
	LUO_FILE_INCOMING,	/* record only */
	LUO_FILE_RETRIEVED,
	LUO_FILE_FAILED,	/* retrieve failed for good */
	LUO_FILE_DAMAGED,	/* record makes no sense */
	LUO_FILE_LOST,		/* outgoing or retrieved, its handler went away */
};

/* What a handler keeps of a file: for the next kernel, and for itself. */
struct luo_keep {
	u64 data;
	void *private_data;
};

struct luo_file {
	struct liveupdate_session *session;
	enum luo_file_state state;
	int retrieve_status;
	u64 token;
	u64 seq;
	struct rb_node by_token;
	struct rb_node by_seq;
	struct luo_slot slot;

	/* Module pinned; NULL while an incoming record waits for its handler. */
	struct liveupdate_file_handler *handler;
	struct file *file;
	/* Of who preserved or retrieved it: pays for what reboot() adds. */
	struct mem_cgroup *memcg;
	/* From preserve to unpreserve, and as the file came in. */
	struct luo_keep outgoing;
	struct luo_keep incoming;
	u64 preserved_bytes;
	struct list_head retrieved_node;

	/* Files of the session that depend on this one, and drivers that use it. */
	unsigned int dependents;
	unsigned int pins;
	/* How many files in a row it depends on. */
	unsigned int height;
	/* The files it depends on itself. */
	struct rb_root leans;
	/* Its handler goes away, or that of a file it depends on. */
	bool going;

	/* Under luo::lock, while preserved. */
	struct rb_node by_id;
	unsigned long id;
	struct list_head freeze_node;
};

/* Under the session's lock. */
struct luo_file_set {
	struct rb_root by_token;
	struct rb_root by_seq;
	struct rb_node *newest;
	/* Tokens mostly come in ascending order, and are asked for in it. */
	struct rb_node *highest;
	struct rb_node *recent;
	u64 next_seq;
	u64 count;
	struct luo_chain chain;
	/* Incoming: every record has its luo_file. */
	bool read;
	/* Outgoing: the records do not have the order of by_seq any more. */
	bool disordered;
	/* Retrieved and not finished; what a file depends on comes before it. */
	struct list_head retrieved;
	/* The file whose operation runs. */
	struct luo_file *calling;
	/* How many retrieves wait for each other. */
	unsigned int depth;
};

void luo_file_set_init(struct luo_file_set *files, struct luo *luo, u64 incoming,
		       u64 count);
struct luo_file *luo_file_find(struct luo_file_set *files, u64 token);
struct luo_file *luo_file_next(struct luo_file_set *files, u64 seq);
void luo_file_handler_name(const struct luo_file *f,
			   char name[LUO_HANDLER_NAME_LENGTH]);

/* ---- luo_file_outgoing.c ---- */

int luo_file_preserve(struct liveupdate_session *session, struct file *file,
		      u64 token);
int luo_file_unpreserve(struct liveupdate_session *session, u64 token);
void luo_file_set_unpreserve(struct liveupdate_session *session);
int luo_files_freeze(struct luo *luo);
void luo_files_unfreeze(struct luo *luo);
void luo_files_settle(struct luo *luo);
void luo_files_unsettle(struct luo *luo);
int luo_file_set_carry(struct liveupdate_session *session);
void luo_file_set_uncarry(struct liveupdate_session *session);

/* ---- luo_file_incoming.c ---- */

int luo_file_set_read(struct liveupdate_session *session);
bool luo_file_has_handler(const struct luo_file *f);
u64 luo_file_waiting(const struct luo_file *f);
int luo_file_retrieve(struct liveupdate_session *session, u64 token,
		      struct file **file);
int luo_file_set_finish(struct liveupdate_session *session, u64 *abandoned);
void luo_file_set_forget(struct liveupdate_session *session);

/* ---- luo_handler.c ---- */

int luo_handler_register(struct luo *luo, struct liveupdate_file_handler *fh);
void luo_handler_unregister(struct luo *luo, struct liveupdate_file_handler *fh);

/* ---- luo_flb*.c ---- */

int luo_flb_register(struct luo *luo, struct liveupdate_file_handler *fh,
		     struct liveupdate_flb *flb);
void luo_flb_unregister(struct luo *luo, struct liveupdate_file_handler *fh,
			struct liveupdate_flb *flb);
void luo_flb_unregister_all(struct luo *luo, struct liveupdate_file_handler *fh);
int luo_flb_files_preserve(struct luo *luo, struct liveupdate_file_handler *fh,
			   bool again);
void luo_flb_files_unpreserve(struct luo *luo,
			      struct liveupdate_file_handler *fh, bool again);
void luo_flb_files_orphan(struct luo *luo, struct liveupdate_file_handler *fh,
			  bool again);
void luo_flb_drop_orphans(struct luo *luo);
void luo_flb_files_retrieved(struct luo *luo, struct liveupdate_file_handler *fh);
void luo_flb_files_released(struct luo *luo, struct liveupdate_file_handler *fh);
void luo_flb_files_finish(struct luo *luo, struct liveupdate_file_handler *fh);
void luo_flb_finish_due(struct luo *luo);
void luo_flb_forget_incoming(struct luo *luo);
void luo_flbs_free(struct luo *luo);
int luo_flbs_carry(struct luo *luo);
void luo_flbs_uncarry(struct luo *luo);
int luo_flb_get_incoming(struct luo *luo, struct liveupdate_flb *flb, void **obj);
void luo_flb_put_incoming(struct luo *luo, struct liveupdate_flb *flb);
int luo_flb_get_outgoing(struct luo *luo, struct liveupdate_flb *flb, void **obj);
void luo_flb_put_outgoing(struct luo *luo, struct liveupdate_flb *flb);

/* ---- luo_session.c ---- */

enum luo_session_state {
	LUO_SESSION_OUTGOING,
	LUO_SESSION_INCOMING,	/* nobody has it */
	LUO_SESSION_RETRIEVED,	/* incoming, somebody has it */
	LUO_SESSION_FINISHED,	/* holds nothing any more */
	LUO_SESSION_DAMAGED,	/* incoming, its files can't be read */
};

#define LUO_SESSION_STATES	(LUO_SESSION_DAMAGED + 1)

struct liveupdate_session {
	struct luo *luo;
	struct kref kref;
	char name[LUO_SESSION_NAME_LENGTH];
	u32 hash;

	/* What the session holds; taken by whoever calls its handlers. */
	struct mutex lock;
	struct luo_file_set files;
	bool keep_on_close;

	/*
	 * Changes under luo::lock; what ends the session, or takes its files,
	 * holds the session's lock as well.
	 */
	enum luo_session_state state;
	u64 seq;
	struct rb_node by_name;
	struct rb_node by_seq;
	struct luo_slot slot;
};

/*
 * Names come from userspace and from records: what is not printable is escaped,
 * and no number of them floods the log.
 */
#define luo_session_warn(_session, _fmt, ...)					\
	pr_warn_ratelimited("session %*pE: " _fmt,				\
			    (int)strlen((_session)->name), (_session)->name,	\
			    ##__VA_ARGS__)

struct liveupdate_session *luo_session_create(struct luo *luo, const char *name);
struct liveupdate_session *luo_session_retrieve(struct luo *luo,
						const char *name);
int luo_session_read_files(struct liveupdate_session *session);
int luo_session_finish(struct liveupdate_session *session, u64 *abandoned);
void luo_session_close(struct liveupdate_session *session);
void luo_session_give_back(struct liveupdate_session *session);
void luo_session_put(struct liveupdate_session *session);
struct liveupdate_session *luo_session_next(struct luo *luo, u64 seq);
void luo_session_show_name(struct seq_file *m,
			   const struct liveupdate_session *session);
void luo_session_sync(struct liveupdate_session *session, s64 files);
int luo_sessions_read(struct luo *luo);
int luo_sessions_carry(struct luo *luo);
void luo_sessions_uncarry(struct luo *luo);
u64 luo_owner_of(const char *name, size_t len);
bool luo_session_owns(const struct liveupdate_session *session, u64 owner);
struct liveupdate_session *luo_session_lock_incoming(struct luo *luo,
						     const char *name);

/* ---- luo_core.c ---- */

enum luo_direction {
	LUO_OUTGOING,
	LUO_INCOMING,
};

#define LUO_DIRECTIONS	(LUO_INCOMING + 1)

/* Sessions of one direction that are to be handed over. */
struct luo_count {
	u64 sessions;
	u64 files;
};

/* get_cycles() at the milestones of this kernel's birth. */
struct luo_stamps {
	struct luo_stamps_ser before;	/* magic is 0 if there are none */
	u64 luo_begin;
	u64 luo_end;
	u64 first_open;
};

struct luo {
	const struct luo_memory *memory;
	/* Live updates since the last cold boot. */
	u64 number;
	struct luo_stamps stamps;

	/*
	 * Held for read by whoever may change a session, and never while memory
	 * of userspace is touched: that may take for ever. @frozen is set with
	 * the gate held for write, and says that reboot() is under way.
	 */
	struct rw_semaphore gate;
	bool frozen;
	wait_queue_head_t thawed;

	/* Guards the list and the links of handlers to FLBs. */
	struct rw_semaphore handlers_lock;
	struct list_head handlers;

	/* Guards FLBs and their page; see luo_flb.h. */
	struct mutex flb_lock;
	struct list_head flbs;
	struct luo_flb_page_ser *flb_page;
	/* What the page says is for the next kernel, and may be damaged. */
	u64 flb_records;
	bool flb_read;
	/* Records of the page, from the first on, that are still to be read. */
	u64 flb_unread;
	u64 flb_seq;
	/* The previous kernel left some, and nobody knows which. */
	bool flbs_lost;
	/* In reboot(), while it makes one of what came in and what goes out. */
	struct task_struct *flb_carrier;

	/* Guards all below and the state of sessions. */
	struct mutex lock;
	struct luo_root_ser *root;
	struct luo_chain chain;
	bool sessions_read;
	/* What is handed over tells of memory that nobody has claimed. */
	bool holds_unclaimed;
	/* The previous kernel left some, and nobody knows which. */
	bool sessions_lost;
	struct rb_root by_name[LUO_DIRECTIONS];
	struct rb_root by_seq;
	u64 next_seq;
	struct luo_count count[LUO_DIRECTIONS];
	/* Files in sessions not finished that exist in this kernel. */
	u64 retrieved_files;
	/* Files whose handler went away. */
	u64 lost_files;
	/* There may be outgoing sessions whose files are disordered. */
	bool disordered;
	struct rb_root by_id;
	/* Files to freeze or to settle, by height, oldest first. */
	struct list_head freeze_files[LUO_DEPENDENCY_DEPTH];
	/* Frozen: there are files to settle. */
	bool settles;

	/* /dev/liveupdate */
	bool exclusive;
	atomic_t openers;
};

int luo_init(struct luo *luo, const struct luo_memory *memory,
	     const struct luo_root_ser *incoming);
void luo_destroy(struct luo *luo);
struct luo *luo_get(void);

int luo_enter(struct luo *luo);
void luo_enter_uninterruptible(struct luo *luo);
void luo_exit(struct luo *luo);

int luo_freeze(struct luo *luo, bool image_ready);
u64 luo_cycles(void);
int luo_cycles_to_ns(u64 cycles, u64 khz, u64 *ns);

/* ---- luo_sysfs.c ---- */

int luo_show_session(struct seq_file *m, void *v);
int luo_sysfs_init(void);

/* ---- luo_ioctl.c ---- */

long luo_ioctl(struct luo *luo, struct liveupdate_session *session,
	       unsigned int cmd, void __user *user);
int luo_device_init(void);

#endif /* _LUO_INTERNAL_H */
