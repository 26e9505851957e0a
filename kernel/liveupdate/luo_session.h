/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files that deal with sessions share. */
#ifndef _LUO_SESSION_H
#define _LUO_SESSION_H

#include "luo_internal.h"

static inline enum luo_direction luo_session_direction(const struct liveupdate_session *session)
{
	return session->state == LUO_SESSION_OUTGOING ? LUO_OUTGOING :
							LUO_INCOMING;
}

struct liveupdate_session *luo_session_find(struct luo *luo,
					    enum luo_direction direction,
					    const char *name);
struct luo_session_ser *luo_session_record(struct liveupdate_session *session);

#endif /* _LUO_SESSION_H */
