/* SPDX-License-Identifier: GPL-2.0 */
/*
 * luo-qemu: guests of an unmodified QEMU survive an update of their host.
 *
 * One process leads: it starts QEMU, serves the control socket, saves, resumes.
 * From the moment a guest is being saved until it is with the next kernel, and
 * while it is being resumed, the leader has a keeper: a copy of itself with the
 * same files open, which leads if the leader dies. Guest memory and session are
 * lost with their last file descriptor only.
 */
#ifndef LUO_QEMU_H
#define LUO_QEMU_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli.h"
#include "libliveupdate.h"

#define SESSION_PREFIX	"luo-qemu:"
#define NAME_MAX_BYTES	48	/* so that the session's name has room for it */
#define DIRECTORY	"/run/luo-qemu"
#define MARKS		"/var/lib/luo-qemu"

/* Tokens of a session. Each memory of a guest has its own, from TOKEN_RAM on. */
enum {
	TOKEN_MANIFEST = 1,
	TOKEN_STATE = 2,
	TOKEN_RAM = 16,
};

#define RAM_MAX		64

/* A memory backend of QEMU, which is a memfd of ours. */
struct ram {
	char id[64];
	/* Where it stands in the arguments, or -1 if there it has no backend. */
	int argument;
	uint64_t size;
	/* Bytes of a huge page, 0 for none. */
	uint64_t huge;
	/* Other properties of the backend, each with a comma before it. */
	char *more;
	int fd;
};

enum phase {
	PHASE_RUNNING,		/* QEMU has the guest */
	PHASE_SAVING,		/* QEMU has it, stopped for now, and it is to be saved or go on */
	PHASE_SAVED,		/* the session has it, QEMU has ended or will */
	PHASE_LOADING,		/* our files have it, QEMU is to read them */
	PHASE_STARTING,		/* QEMU has read them, its session is to end and it to run */
};

/* What leader and keeper both know. */
struct shared {
	enum phase phase;
	pid_t qemu;
	/* Whether the guest ran when it was saved. */
	bool ran;
	/* No session may have it any more: if its processes end it is lost. */
	bool ended;
	/* QEMU may have let it run: what our files have is not to be loaded again. */
	bool continued;
	/* What an alias as `q35' meant when it was saved. */
	char machine[64];
	/* What the machine was made of when it was started. */
	uint64_t shape;
	/* CLOCK_REALTIME when it stopped, in nanoseconds; 0 if it did not. */
	int64_t stopped;
	/* How long it stood still the last time, in nanoseconds; 0 if it never did. */
	int64_t still;
};

struct guest {
	const char *name;
	const char *directory;
	/* Where its mark is, and what it is: "" if it has none. */
	const char *marks;
	char mark[17];
	char session_name[LIVEUPDATE_SESSION_NAME_LENGTH];
	/* The program, and the user's arguments for it. */
	const char *program;
	char **arguments;
	int argument_count;
	char version[64];
	struct ram rams[RAM_MAX];
	int ram_count;
	/* Where the file systems of its files are mounted; NULL if that is not known. */
	json_t *mounts;
	int manifest, state, session;
	uint64_t state_bytes, digest;
	/* The session came from the previous kernel. */
	bool incoming;
	struct shared *shared;
	/* Readable once QEMU has ended; -1 if there is none. */
	int qemu;
	/* How it ended, as wait() tells; 0 if we were not told. */
	int status;
	/* Signals that we take when it suits. */
	int signals;
	/* 0 and -1 if there is none. */
	pid_t keeper;
	int keeper_pipe;
	int control, client;
	/* When the request has to be done, for limit_left(); 0 if nobody is in a hurry. */
	int64_t limit;
	/* Told once the guest runs; -1 if nobody waits. */
	int ready;
	/* So was the service manager. */
	bool told;
};

/* ---- report.c: why a call failed, kept for whoever reports it ---- */

/* These return -1. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int fail_errno(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *fail_message(void);
/* On stderr. Verb or name may be NULL. */
void complain(const char *verb, const char *name);

/* ---- limit.c ---- */

/* So many milliseconds from now, or when the guest's request has to be done. */
int64_t limit_in(const struct guest *guest, int64_t ms);
/* Milliseconds until then, for poll(). */
int limit_left(int64_t limit);

/* ---- arguments.c ---- */

/* Find the memories of the guest in the user's arguments. */
int arguments_parse(struct guest *guest);
/* Fails for what no later QEMU would have. */
int arguments_check(const struct guest *guest);
/* A command line for QEMU; incoming: it waits for its state. Freed by arguments_free(). */
char **arguments_make(const struct guest *guest, bool incoming);
void arguments_free(char **arguments);

/* ---- manifest.c: what it takes to start QEMU the same way ---- */

int manifest_write(struct guest *guest);
int manifest_read(struct guest *guest);

/* Whether manifest_read() could read it. */
int manifest_check(const struct guest *guest);

/* ---- mark.c ---- */

/* Of a guest that starts anew. */
int mark_make(struct guest *guest);
/* Whether the guest of the session is the one that was started last. */
int mark_check(const struct guest *guest);

/* ---- qmp.c ---- */

struct qmp;

/*
 * A QEMU whose agents were all killed is in the way of another one. One that was
 * resuming never ran its guest: resume ends it.
 */
int qmp_end_stale(struct guest *guest, bool resume);
/* Connects to the guest's QEMU, waiting as long as that runs. NULL if it can't be had. */
struct qmp *qmp_open(struct guest *guest);
void qmp_close(struct qmp *qmp);
/* Wait, as long as it takes, for a QEMU that was just started. */
int qmp_wait(struct guest *guest);
/*
 * Run a command, whose arguments it frees, with a file descriptor if that is
 * not -1. Returns what it returned, the caller's to free, or NULL.
 */
json_t *qmp_ask(struct qmp *qmp, const char *command, json_t *arguments, int fd);
int qmp_do(struct qmp *qmp, const char *command, json_t *arguments);
/* The last command was sent and not answered: it may have been done. */
bool qmp_is_open_ended(const struct qmp *qmp);

/* ---- shape.c ---- */

int shape_take(struct guest *guest, struct qmp *qmp);
/* Fails if it is another one by now. */
int shape_check(const struct guest *guest, struct qmp *qmp);

/* ---- mounts.c ---- */

/* When QEMU has opened all that it was started with. */
int mounts_take(struct guest *guest);
/* Fails if one of them is not there. */
int mounts_check(const struct guest *guest);

/* ---- process.c: QEMU as a process ---- */

int qemu_start(struct guest *guest, bool incoming);
/* Find QEMU again, by its number. */
void qemu_adopt(struct guest *guest);
bool qemu_runs(const struct guest *guest);
/* End it, if it runs, by this signal. */
void qemu_end(struct guest *guest, int signal);
/* End it as it likes best, unless that takes it too long. */
void qemu_end_soon(struct guest *guest);
/* The version that the program tells. */
int qemu_version(const char *program, char *version, size_t size);

/* ---- migrate.c: the state of devices, from QEMU and to it ---- */

int migrate_out(struct guest *guest, struct qmp *qmp);
int migrate_in(struct guest *guest, struct qmp *qmp);
/* Leave no migration that would stop the guest again. */
int migrate_cancel(struct guest *guest, struct qmp *qmp);
/* To find damage before QEMU does: how large it is, and what of. */
int state_digest(const struct guest *guest, uint64_t *bytes, uint64_t *digest);

/* ---- keeper.c ---- */

/* The keeper does not return from these: it leads when the leader has died. */
int keeper_start(struct guest *guest);
/* One that has the same files open as we do by now, in place of the one that is there. */
int keeper_renew(struct guest *guest);
void keeper_dismiss(struct guest *guest);
/* It has ended. */
void keeper_forget(struct guest *guest);

/* ---- lead.c ---- */

/* Keep signals that would end us until it suits. Goes ahead of all that can be lost. */
int signals_take(struct guest *guest);
/* Whether one has come. */
bool signals_end(void);
/* Serve the guest until it has ended, or the kernel has it back. */
int lead(struct guest *guest);
/* Between two states: try to get to the one or the other. */
int guest_settle(struct guest *guest);

/* ---- save.c, resume.c ---- */

int guest_save(struct guest *guest);
/* Try what can be tried while the guest runs. */
int guest_check(struct guest *guest);
/* Goes ahead of a save, and of its keeper: both are to hold the session. */
int guest_open_session(struct guest *guest);
/* A guest that QEMU did not let run, and that no session has, gets one again. */
int guest_save_again(struct guest *guest);
/* The guest of a save that failed goes on. */
int guest_undo(struct guest *guest);
/* Before requests are served again, or that is tried again later. */
int guest_undo_soon(struct guest *guest);
/* Let QEMU load what our files hold, end the session, and let it run. */
int guest_load(struct guest *guest);
/* Once no process has it open. */
int guest_end_session(struct guest *guest);
int guest_run_on(struct guest *guest);
int guest_check_version(struct guest *guest);
/* Get everything out of the guest's session. */
int guest_claim(struct guest *guest);
int ram_make(struct guest *guest);
int memfd_make(const char *name, unsigned int flags);

/* ---- device.c ---- */

/* Open the device, in turn with other agents. */
int device_open(void);
/* Returns 1 if such a session came from the previous kernel, 0 if not, or -1. */
int device_has_session(const char *name);

/* ---- notify.c ---- */

/* Tell the service manager that started us, if one did, who leads. */
void notify_ready(pid_t leader);

/* ---- names.c ---- */

/* A part of a path, of a unit's name and of a session's. */
bool is_guest_name(const char *name);

/* Guests that wait for an agent, and guests that have one. */
char **names_of_sessions(void);
char **names_of_sockets(const char *directory);

/* ---- control.c ---- */

int control_listen(struct guest *guest);
void control_end(struct guest *guest);
/* Whether there is an agent of the guest, or a QEMU that lost its own. */
bool control_has_guest(const char *directory, const char *name);
/* Take a request and answer it. */
void control_serve(struct guest *guest);
/* The client's side. Returns an exit status. */
int control_ask(const char *directory, const char *name, const char *request);
/* The process that leads a guest, 0 if none does. */
pid_t control_leader(const char *directory, const char *name);
/* Returns once nobody leads the guest any more. */
void control_wait_end(const char *directory, const char *name);
/* The path of a socket of the guest, in a buffer of the caller's. */
struct sockaddr_un;
int socket_address(const char *directory, const char *name, const char *what,
		   struct sockaddr_un *address);

#endif /* LUO_QEMU_H */
