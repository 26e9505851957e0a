// SPDX-License-Identifier: GPL-2.0
/* The control socket: one request of one word, an answer that ends with `ok' or `error TEXT'. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "qemu.h"

#define REQUEST_MS	2000
#define REQUEST_LENGTH	32
#define WAIT_MS		200

int socket_address(const char *directory, const char *name, const char *what,
		   struct sockaddr_un *address)
{
	int len;

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	len = snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s.%s",
		       directory, name, what);
	return len < (int)sizeof(address->sun_path) ? 0 : fail("%s: path too long", directory);
}

/* Held as long as a process lives that serves the guest. */
static int lock(const struct guest *guest)
{
	struct sockaddr_un address;
	int fd;

	if (socket_address(guest->directory, guest->name, "lock", &address))
		return -1;
	fd = open(address.sun_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno(errno, "%s", address.sun_path);
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	close(fd);
	return fail("%s: the guest runs already", address.sun_path);
}

static int make_directory(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) && errno != EEXIST)
		return fail_errno(errno, "%s", path);
	if (lstat(path, &st))
		return fail_errno(errno, "%s", path);
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() ? 0 :
	       fail("%s: not a directory of ours", path);
}

static bool is_served(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool served = fd >= 0 && !connect(fd, (const struct sockaddr *)address, sizeof(*address));

	if (fd >= 0)
		close(fd);
	return served;
}

bool control_has_guest(const char *directory, const char *name)
{
	static const char * const what[] = { "sock", "qmp" };
	struct sockaddr_un address;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(what); i++) {
		if (!socket_address(directory, name, what[i], &address) && is_served(&address))
			return true;
	}
	return false;
}

void control_end(struct guest *guest)
{
	struct sockaddr_un address;

	if (!socket_address(guest->directory, guest->name, "sock", &address))
		unlink(address.sun_path);
	close(guest->control);
	guest->control = -1;
}

int control_listen(struct guest *guest)
{
	struct sockaddr_un address;

	if (make_directory(guest->directory) || lock(guest) ||
	    socket_address(guest->directory, guest->name, "sock", &address))
		return -1;
	unlink(address.sun_path);
	guest->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (guest->control < 0 ||
	    bind(guest->control, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(guest->control, 8))
		return fail_errno(errno, "%s", address.sun_path);
	return 0;
}

/* ---- requests ---- */

/* The guest goes on before anybody is told that it was not saved. */
static int call_off(struct guest *guest)
{
	char reason[512];

	snprintf(reason, sizeof(reason), "%s", fail_message());
	if (guest_undo_soon(guest))
		return fail("%s; nor does it go on: %s", reason, strdupa(fail_message()));
	return fail("%s", reason);
}

/* From the first moment on two have the session. */
static int save_running(struct guest *guest)
{
	if (guest_open_session(guest))
		return -1;
	guest->shared->phase = PHASE_SAVING;
	return keeper_start(guest) || guest_save(guest) ? call_off(guest) : 0;
}

static int save(struct guest *guest)
{
	switch (guest->shared->phase) {
	case PHASE_RUNNING:
		return save_running(guest);
	case PHASE_SAVED:
		return 0;
	case PHASE_SAVING:
		return fail("it was to be saved, and does not go on yet: try again");
	default:
		return guest_save_again(guest);
	}
}

static int cancel(struct guest *guest)
{
	if (guest->shared->phase == PHASE_RUNNING)
		return fail("not saved");
	if (guest->shared->phase == PHASE_SAVED) {
		if (guest_check_version(guest))
			return -1;
		guest->shared->phase = PHASE_LOADING;
	}
	return guest_settle(guest);
}

static int status(struct guest *guest)
{
	static const char * const phases[] = {
		[PHASE_RUNNING] = "running", [PHASE_SAVING] = "saving", [PHASE_SAVED] = "saved",
		[PHASE_LOADING] = "loading", [PHASE_STARTING] = "starting",
	};

	dprintf(guest->client, "name %s\nphase %s\nqemu %d\nleader %d\nkeeper %d\n", guest->name,
		phases[guest->shared->phase], guest->shared->qemu, getpid(), guest->keeper);
	if (guest->shared->still > 0)
		dprintf(guest->client, "still_ms %lld\n",
			(long long)guest->shared->still / 1000000);
	return 0;
}

/* As the power button of the guest. */
static int shutdown_guest(struct guest *guest)
{
	struct qmp *qmp;
	int err;

	if (guest->shared->phase == PHASE_SAVED)
		return fail("the guest is saved: it stays");
	if (guest->shared->phase != PHASE_RUNNING)
		return fail("the guest does not run: it stays");
	qmp = qmp_open(guest);
	if (!qmp)
		return -1;
	err = qmp_do(qmp, "system_powerdown", NULL);
	qmp_close(qmp);
	return err;
}

static int check(struct guest *guest)
{
	if (guest->shared->phase == PHASE_SAVED)
		return 0;
	return guest->shared->phase == PHASE_RUNNING ? guest_check(guest) :
	       fail("the guest is neither running nor saved: try again");
}

static const struct request {
	const char *name;
	int (*serve)(struct guest *guest);
} requests[] = {
	{ "check", check },
	{ "save", save },
	{ "cancel", cancel },
	{ "status", status },
	{ "shutdown", shutdown_guest },
};

/* The client has so long; none keeps the others out. */
static int read_request(const struct guest *guest, int client, char text[REQUEST_LENGTH])
{
	struct pollfd readable = { .fd = client, .events = POLLIN };
	int64_t limit = limit_in(guest, REQUEST_MS);
	size_t len = 0;
	ssize_t got;

	while (len < REQUEST_LENGTH - 1 && poll(&readable, 1, limit_left(limit)) == 1) {
		got = read(client, text + len, 1);
		if (got <= 0)
			return -1;
		if (text[len] == '\n') {
			text[len] = '\0';
			return 0;
		}
		len++;
	}
	return -1;
}

/* "VERB" or "VERB SECONDS", which is what it may take. */
static int serve(struct guest *guest, char *text)
{
	char *seconds = strchr(text, ' ');
	const struct request *request;
	int err;

	if (seconds)
		*seconds++ = '\0';
	request = FIND_ROW(requests, text);
	if (!request)
		return fail("unknown request `%s'", text);
	if (seconds)
		guest->limit = limit_in(guest, 1000 * strtol(seconds, NULL, 10));
	err = request->serve(guest);
	guest->limit = 0;
	return err;
}

static void answer(struct guest *guest, int err)
{
	if (guest->client < 0)
		return;
	if (err)
		dprintf(guest->client, "error %s\n", fail_message());
	else
		dprintf(guest->client, "ok\n");
}

void control_serve(struct guest *guest)
{
	char text[REQUEST_LENGTH];
	int err = -1;

	guest->client = accept4(guest->control, NULL, NULL, SOCK_CLOEXEC);
	if (guest->client < 0)
		return;
	if (!read_request(guest, guest->client, text))
		err = serve(guest, text);
	else
		fail("no request");
	answer(guest, err);
	if (guest->client >= 0)
		close(guest->client);
	guest->client = -1;
}

/* ---- the client ---- */

/* Gives each line of the answer to take, but for its last, which is the verdict. */
static int read_answer(FILE *in, void (*take)(const char *line, void *to), void *to)
{
	char line[1024], *end;

	while (fgets(line, sizeof(line), in)) {
		end = strchr(line, '\n');
		if (end)
			*end = '\0';
		if (!strcmp(line, "ok"))
			return 0;
		if (!strncmp(line, "error ", 6))
			return fail("%s", line + 6);
		take(line, to);
	}
	return fail("luo-qemu ended before it answered");
}

static int ask(const char *directory, const char *name, const char *request,
	       void (*take)(const char *line, void *to), void *to)
{
	struct sockaddr_un address;
	int fd, err;
	FILE *in;

	if (socket_address(directory, name, "sock", &address))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		err = errno;
		if (fd >= 0)
			close(fd);
		return fail_errno(err, "%s", address.sun_path);
	}
	dprintf(fd, "%s\n", request);
	in = fdopen(fd, "r");
	err = in ? read_answer(in, take, to) : fail_errno(errno, "socket");
	if (in)
		fclose(in);
	return err;
}

static void print(const char *line, void *to)
{
	(void)to;
	puts(line);
}

int control_ask(const char *directory, const char *name, const char *request)
{
	return ask(directory, name, request, print, NULL);
}

static void take_leader(const char *line, void *to)
{
	if (sscanf(line, "leader %d", (int *)to) != 1)
		return;
}

pid_t control_leader(const char *directory, const char *name)
{
	int leader = 0;

	return ask(directory, name, "status", take_leader, &leader) ? 0 : leader;
}

void control_wait_end(const char *directory, const char *name)
{
	while (control_leader(directory, name))
		poll(NULL, 0, WAIT_MS);
}
