/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM liveupdate

#if !defined(_TRACE_LIVEUPDATE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_LIVEUPDATE_H

#include <linux/tracepoint.h>

/* A callback of a file handler has returned. */
TRACE_EVENT(liveupdate_file_op,

	TP_PROTO(const char *op, const char *session, u64 token,
		 const char *handler, int err, u64 ns),

	TP_ARGS(op, session, token, handler, err, ns),

	TP_STRUCT__entry(
		__string(op, op)
		__string(session, session)
		__string(handler, handler)
		__field(u64, token)
		__field(u64, ns)
		__field(int, err)
	),

	TP_fast_assign(
		__assign_str(op);
		__assign_str(session);
		__assign_str(handler);
		__entry->token = token;
		__entry->ns = ns;
		__entry->err = err;
	),

	TP_printk("%s session=%s token=%llu handler=%s err=%d ns=%llu",
		  __get_str(op), __get_str(session), __entry->token,
		  __get_str(handler), __entry->err, __entry->ns)
);

/* A callback of file-lifecycle-bound data has returned. */
TRACE_EVENT(liveupdate_flb_op,

	TP_PROTO(const char *op, const char *flb, int err, u64 ns),

	TP_ARGS(op, flb, err, ns),

	TP_STRUCT__entry(
		__string(op, op)
		__string(flb, flb)
		__field(u64, ns)
		__field(int, err)
	),

	TP_fast_assign(
		__assign_str(op);
		__assign_str(flb);
		__entry->ns = ns;
		__entry->err = err;
	),

	TP_printk("%s flb=%s err=%d ns=%llu", __get_str(op), __get_str(flb),
		  __entry->err, __entry->ns)
);

#endif /* _TRACE_LIVEUPDATE_H */

#include <trace/define_trace.h>
