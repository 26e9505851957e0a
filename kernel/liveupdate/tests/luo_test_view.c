// SPDX-License-Identifier: GPL-2.0-only
/* What there is, and what the next kernel would find, in words; see luo_test.h. */

#include <linux/kmsg_dump.h>
#include <linux/list.h>
#include <linux/string.h>

#include "../luo_file.h"
#include "../luo_flb.h"
#include "luo_test.h"

/* ---- what is handed over ---- */

static void luo_test_show_files(struct luo_test *t, struct seq_buf *seq, u64 pa)
{
	const struct luo_block_ser *block;
	const struct luo_file_ser *file;
	u64 i;

	for (; pa; pa = block->next) {
		block = luo_test_page_at(t, pa);
		if (!block) {
			seq_buf_puts(seq, "?");
			return;
		}
		file = (const void *)(block + 1);
		for (i = 0; i < block->count; i++, file++)
			seq_buf_printf(seq, "%s%llu:%.48s", i ? " " : "",
				       file->token, file->handler);
		if (block->next)
			seq_buf_puts(seq, " ");
	}
}

static void luo_test_show_sessions(struct luo_test *t, struct seq_buf *seq, u64 pa)
{
	const struct luo_session_ser *session;
	const struct luo_block_ser *block;
	u64 i;

	for (; pa; pa = block->next) {
		block = luo_test_page_at(t, pa);
		if (!block) {
			seq_buf_puts(seq, "?");
			return;
		}
		session = (const void *)(block + 1);
		for (i = 0; i < block->count; i++, session++) {
			seq_buf_printf(seq, "%s%.64s{", seq->len ? " " : "",
				       session->name);
			luo_test_show_files(t, seq, session->files);
			seq_buf_puts(seq, "}");
		}
	}
}

static void luo_test_show_flbs(struct luo_test *t, struct seq_buf *seq, u64 pa)
{
	const struct luo_flb_page_ser *page = luo_test_page_at(t, pa);
	u64 i;

	if (!page) {
		seq_buf_puts(seq, pa ? "?" : "");
		return;
	}
	for (i = 0; i < page->count; i++)
		seq_buf_printf(seq, "%s%.48s=%llu", seq->len ? " " : "",
			       page->flb[i].name, page->flb[i].count);
}

/**
 * luo_test_handed_over - Read what the next kernel would.
 * @t: Test.
 *
 * Return: name{token:handler ...} for each session, name=files for each FLB.
 */
const char *luo_test_handed_over(struct luo_test *t)
{
	struct seq_buf *seq = &t->handed_over.seq;

	seq_buf_clear(seq);
	luo_test_show_sessions(t, seq, t->luo.root->sessions);
	luo_test_show_flbs(t, seq, t->luo.root->flb);
	return seq_buf_str(seq);
}

static void luo_test_show_session(struct luo_test *t, struct seq_buf *seq,
				  struct liveupdate_session *session)
{
	struct luo_file *f;
	u64 seqno = 0;

	seq_buf_printf(seq, "%s state %d keep %d files %llu:", session->name,
		       session->state, session->keep_on_close,
		       session->files.count);
	while ((f = luo_file_next(&session->files, seqno))) {
		seq_buf_printf(seq, " %llu(%d %d %llu %d %u)", f->token, f->state,
			       f->retrieve_status,
			       luo_file_is_engaged(f) ? f->outgoing.data :
							f->incoming.data,
			       !!f->handler, f->dependents);
		seqno = f->seq + 1;
	}
	seq_buf_puts(seq, "\n");
}

static void luo_test_show_luo(struct luo_test *t, struct seq_buf *seq)
{
	struct liveupdate_file_handler *fh;
	size_t freezable = 0;
	struct luo_flb *f;
	unsigned int i;

	seq_buf_printf(seq, "out %llu/%llu in %llu/%llu retrieved %llu\n",
		       t->luo.count[LUO_OUTGOING].sessions,
		       t->luo.count[LUO_OUTGOING].files,
		       t->luo.count[LUO_INCOMING].sessions,
		       t->luo.count[LUO_INCOMING].files, t->luo.retrieved_files);
	list_for_each_entry(fh, &t->luo.handlers, node)
		seq_buf_printf(seq, "%s files %lu\n", fh->compatible, fh->files);
	list_for_each_entry(f, &t->luo.flbs, node)
		seq_buf_printf(seq, "%s out %d %llu in %d %llu pins %u\n", f->name,
			       f->out.state, f->out.files, f->in.state,
			       f->in.files, f->pins);
	/* An FLB page stays once there was a need for it. */
	for (i = 0; i < LUO_DEPENDENCY_DEPTH; i++)
		freezable += list_count_nodes(&t->luo.freeze_files[i]);
	seq_buf_printf(seq, "pages %u blobs %u pins %u freezable %zu lost %llu frozen %d\n",
		       luo_test_pages(t) - !!t->luo.flb_page, luo_test_blobs(t),
		       luo_test_pins(t), freezable, t->luo.lost_files,
		       t->luo.frozen);
}

/**
 * luo_test_state - Put all that is known of an instance in words.
 * @t: Test.
 *
 * Return: text that lives until the test ends, to be compared with another.
 */
const char *luo_test_state(struct luo_test *t)
{
	struct seq_buf *seq = &t->state.seq;
	struct liveupdate_session *session;
	u64 seqno = 0;

	seq_buf_clear(seq);
	while ((session = luo_session_next(&t->luo, seqno))) {
		luo_test_show_session(t, seq, session);
		seqno = session->seq + 1;
		luo_session_put(session);
	}
	luo_test_show_luo(t, seq);
	seq_buf_printf(seq, "%s\n", luo_test_handed_over(t));
	return kunit_kstrdup(t->test, seq_buf_str(seq), GFP_KERNEL);
}

/* ---- the kernel's log ---- */

/**
 * luo_test_kernel_lines - Count lines of the kernel's log.
 * @test: Test.
 * @text: Part of a line.
 *
 * Return: how many of the lines that are still there hold it.
 */
unsigned int luo_test_kernel_lines(struct kunit *test, const char *text)
{
	char *line = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	struct kmsg_dump_iter iter;
	unsigned int n = 0;
	size_t len;

	KUNIT_ASSERT_NOT_NULL(test, line);
	kmsg_dump_rewind(&iter);
	while (kmsg_dump_get_line(&iter, false, line, PAGE_SIZE, &len))
		n += !!strnstr(line, text, len);
	return n;
}
