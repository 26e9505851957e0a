/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files that deal with handlers and files share. */
#ifndef _LUO_FILE_H
#define _LUO_FILE_H

#include "luo_internal.h"

static inline struct luo *luo_of(const struct luo_file *f)
{
	return f->session->luo;
}

/* Its handler has preserved it in this kernel. */
static inline bool luo_file_is_engaged(const struct luo_file *f)
{
	return f->state == LUO_FILE_PRESERVED || f->state == LUO_FILE_FROZEN;
}

/* It came in, and is handed over once more. */
static inline bool luo_file_again(const struct luo_file *f)
{
	return f->retrieve_status == 1;
}

/* ---- luo_handler.c ---- */

struct liveupdate_file_handler *luo_handler_get(struct luo *luo,
						const char *name);
struct liveupdate_file_handler *luo_handler_for_file(struct luo *luo,
						     struct file *file);
void luo_handler_put(struct liveupdate_file_handler *fh);
int luo_op_retrieve(struct luo_file *f, bool *final);
int luo_op_call(struct luo_file *f, const char *name,
		int (*call)(struct liveupdate_file_op_args *args));
void luo_op_call_void(struct luo_file *f, const char *name,
		      void (*call)(struct liveupdate_file_op_args *args));
void luo_op_call_alone(struct luo_file *f, const char *name,
		       void (*call)(struct liveupdate_file_op_args *args));
bool luo_op_can_finish(struct luo_file *f);

/* ---- luo_file.c ---- */

struct luo_file *luo_file_alloc(struct liveupdate_session *session, u64 token,
				enum luo_file_state state, gfp_t gfp);
void luo_file_free(struct luo_file *f);
struct luo_file *luo_file_insert(struct luo_file *f);
void luo_file_erase(struct luo_file *f);
void luo_file_write_record(const struct luo_file *f);
int luo_file_get_dependent(struct luo_file *f);
void luo_file_put_dependent(struct liveupdate_session *session, u64 token);
void luo_file_drop_lost(struct luo_file *f);
void luo_file_set_revoke(struct liveupdate_session *session,
			 const struct liveupdate_file_handler *fh);

/* ---- luo_file_outgoing.c ---- */

void luo_file_disengage(struct luo_file *f);
void luo_file_release_id(struct luo_file *f);

/* ---- luo_file_incoming.c ---- */

void luo_file_end(struct luo_file *f);
void luo_file_unbind(struct luo_file *f);

#endif /* _LUO_FILE_H */
