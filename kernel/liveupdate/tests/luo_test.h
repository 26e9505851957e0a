/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites share: an instance of its own on memory that counts and can
 * fail, handlers and FLBs that log their callbacks and can fail, and a reader
 * of what is handed over that has no code in common with the real one.
 *
 * A step is a call that may fail: of memory, of a handler or of an FLB. Steps
 * are counted from 1 across all of them, so that a test can sweep a failure
 * through an operation without knowing what it is made of.
 */
#ifndef _LUO_TEST_H
#define _LUO_TEST_H

#include <kunit/test.h>
#include <linux/io.h>
#include <linux/seq_buf.h>
#include <linux/xarray.h>

#include "../luo_internal.h"

#define LUO_TEST_TEXT	4096
#define LUO_TEST_FILES	32

struct luo_test_text {
	struct seq_buf seq;
	char bytes[LUO_TEST_TEXT];
};

struct luo_test_handler {
	struct liveupdate_file_handler fh;
	struct liveupdate_file_ops ops;
	/* What the log calls it. */
	const char *name;
	bool can_finish;
	/* Retrieve succeeds and sets no file. */
	bool forgets_file;
	/* Freeze hands over something else than preserve did. */
	bool freeze_changes_data;
	/* A file depends on the one whose id is less by this, if it isn't 0. */
	u64 leans;
	/* What a retrieve that fails says. */
	enum liveupdate_retry retry;
	/* Used for a moment in finish. */
	struct luo_test_flb *looks_at;
};

struct luo_test_flb {
	struct liveupdate_flb flb;
	struct liveupdate_flb_ops ops;
	const char *name;
	/* Used from preserve to unpreserve, and from retrieve to finish. */
	struct luo_test_flb *uses;
	/* Used for a moment in carry. */
	struct luo_test_flb *looks_at;
	/* Called in retrieve. */
	void (*retrieving)(struct luo_test_flb *f);
};

struct luo_test {
	struct kunit *test;
	struct luo luo;
	bool running;

	/* Every page there is, by physical address; the mark says whose. */
	struct xarray pages;
	/* How often what nobody claimed is held. */
	unsigned int holders;

	/* What handlers and FLBs have preserved and not released: ids of files. */
	struct xarray blobs;
	unsigned long next_blob;
	/* How many of them nobody is to release. */
	unsigned int abandoned;

	unsigned int steps;
	unsigned int fail_step;
	int fail_errno;
	/* Steps, and looks at memory of the previous kernel. */
	unsigned long calls;

	/* Stands for the module of handlers and FLBs. */
	struct module *module;
	/* A worker closes some of them. */
	atomic_t open_files;
	struct file *held[LUO_TEST_FILES];
	unsigned int nr_held;
	/* The kernel of this instance is no more: nothing has an effect. */
	bool dead;
	/* Records are damaged: handlers are told of what they did not preserve. */
	bool hostile;
	/* What happens to pages between two kernels, if anything. */
	void (*between)(struct luo_test *t);

	struct luo_test_text log;
	struct luo_test_text state;
	struct luo_test_text handed_over;
};

int luo_test_init(struct kunit *test);
void luo_test_exit(struct kunit *test);

static inline struct luo_test *luo_test_of(struct kunit *test)
{
	return test->priv;
}

/* ---- the instance and those after it ---- */

void luo_test_start(struct luo_test *t, const struct luo_root_ser *incoming);
void luo_test_restart(struct luo_test *t, const struct luo_root_ser *incoming);
void luo_test_renew(struct luo_test *t);
void luo_test_jump(struct luo_test *t);
void luo_test_freeze_and_jump(struct luo_test *t);
void luo_test_hand_over_again(struct luo_test *t, struct luo_test_handler *h, u64 n);
struct luo_test_handler *luo_test_hand_over(struct luo_test *t, u64 n);
struct luo_session_ser *luo_test_hand_over_four(struct luo_test *t);

static inline struct luo_block_ser *luo_test_files_of(const struct luo_session_ser *record)
{
	return phys_to_virt(record->files);
}

/* ---- memory ---- */

void *luo_test_previous_page(struct luo_test *t);
struct luo_root_ser *luo_test_previous_root(struct luo_test *t);
bool luo_test_page_is_previous(struct luo_test *t, u64 pa);
unsigned int luo_test_pages(struct luo_test *t);
unsigned int luo_test_blobs(struct luo_test *t);

/* ---- failures ---- */

void luo_test_fail_step(struct luo_test *t, unsigned int step, int err);
bool luo_test_fail_step_done(struct luo_test *t);
/*
 * Debug features allocate too, and not always the same: sweeps go on until
 * nothing failed, and don't know which failure hits what.
 */
void luo_test_need_fail_alloc(struct luo_test *t);
void luo_test_page_failures(struct kunit *test, bool on);
void luo_test_fail_alloc(unsigned int nth);
bool luo_test_fail_alloc_done(void);

/* ---- handlers, FLBs, files, sessions ---- */

struct luo_test_handler *luo_test_handler_new(struct luo_test *t,
					      const char *name);
struct luo_test_handler *luo_test_handler(struct luo_test *t, const char *name);
struct luo_test_flb *luo_test_flb_new(struct luo_test *t, const char *name);
struct luo_test_flb *luo_test_flb(struct luo_test *t,
				  struct luo_test_handler *h, const char *name);
void luo_test_flb_can_carry(struct luo_test_flb *f);
struct luo_test_handler *luo_test_hand_over_flb(struct luo_test *t, u64 n,
						struct luo_test_flb **f);
void luo_test_take_over_flb(struct luo_test *t, struct luo_test_handler *h,
			    struct luo_test_flb *f);
struct file *luo_test_file(struct luo_test *t, struct luo_test_handler *h, u64 id);

struct liveupdate_session *luo_test_create(struct luo_test *t, const char *name);
struct liveupdate_session *luo_test_retrieve(struct luo_test *t,
					     const char *name);
int luo_test_lock(struct luo_test *t, const char *name);
int luo_test_preserve(struct liveupdate_session *session, struct file *file,
		      u64 token);
void luo_test_preserve_new(struct luo_test *t,
			   struct liveupdate_session *session,
			   struct luo_test_handler *h, u64 token);
int luo_test_unpreserve(struct liveupdate_session *session, u64 token);
int luo_test_retrieve_file(struct liveupdate_session *session, u64 token);
int luo_test_finish(struct liveupdate_session *session);

/* ---- what happened, what is ---- */

unsigned int luo_test_kernel_lines(struct kunit *test, const char *text);
const char *luo_test_state(struct luo_test *t);
const char *luo_test_handed_over(struct luo_test *t);

const char *luo_test_log_take(struct luo_test *t, size_t len);

/* The first callbacks since the last time, and forget them. */
#define luo_test_expect_first(_t, _expected)					\
	KUNIT_EXPECT_STREQ((_t)->test, luo_test_log_take(_t, strlen(_expected)), \
			   _expected)

/* All callbacks since the last time, and forget them. */
#define luo_test_expect_log(_t, _expected)					\
	do {									\
		KUNIT_EXPECT_STREQ((_t)->test, seq_buf_str(&(_t)->log.seq),	\
				   _expected);					\
		seq_buf_clear(&(_t)->log.seq);					\
	} while (0)

/* What a new kernel would find: name{token:handler ...} ... flb=files ... */
#define luo_test_expect_handed_over(_t, _expected)				\
	KUNIT_EXPECT_STREQ((_t)->test, luo_test_handed_over(_t), _expected)

/* ---- what luo_test*.c have in common ---- */

/*
 * Memory's functions and the release of files are not told whose they are,
 * and the latter may run in a worker.
 */
extern struct luo_test *luo_test_now;

int luo_test_step(struct luo_test *t);
void luo_test_log(struct luo_test *t, const char *who, const char *op, int err);
void *luo_test_page_at(struct luo_test *t, u64 pa);
u64 luo_test_blob_new(struct luo_test *t, u64 id);
u64 luo_test_blob_id(struct luo_test *t, u64 blob);
u64 luo_test_blob_free(struct luo_test *t, u64 blob);
unsigned int luo_test_pins(struct luo_test *t);

#endif /* _LUO_TEST_H */
