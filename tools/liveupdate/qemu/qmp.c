// SPDX-License-Identifier: GPL-2.0
/* QEMU's machine protocol: one command at a time, events are passed over. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "qemu.h"

/* QEMU answers at once, but for what waits for its disks. */
#define ANSWER_SECONDS	120
#define START_MS	60000
#define TRY_MS		20

struct qmp {
	FILE *in;
	char *line;
	size_t size;
	bool open_ended;
};

static json_t *receive(struct qmp *qmp)
{
	json_t *message;
	json_error_t error;

	errno = 0;
	if (getline(&qmp->line, &qmp->size, qmp->in) < 0) {
		if (errno)
			fail_errno(errno, "QEMU does not answer");
		else
			fail("QEMU has ended");
		return NULL;
	}
	message = json_loads(qmp->line, 0, &error);
	if (!message)
		fail("QEMU sent no JSON: %s", error.text);
	return message;
}

static int transmit(struct qmp *qmp, char *text, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = {
		.cmsg_len = CMSG_LEN(sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	struct iovec part = { text, strlen(text) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t len;

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	len = sendmsg(fileno(qmp->in), &message, MSG_NOSIGNAL);
	return len == (ssize_t)part.iov_len ? 0 : fail_errno(errno ?: EIO, "QEMU does not listen");
}

static json_t *answer_to(struct qmp *qmp, const char *command)
{
	json_t *message, *result, *error;
	const char *reason;

	while ((message = receive(qmp))) {
		result = json_object_get(message, "return");
		error = json_object_get(message, "error");
		json_incref(result);
		reason = json_string_value(json_object_get(error, "desc"));
		if (error)
			fail("QEMU: %s: %s", command, reason ?: "no reason given");
		json_decref(message);
		if (result || error) {
			qmp->open_ended = false;
			return result;
		}
	}
	return NULL;
}

json_t *qmp_ask(struct qmp *qmp, const char *command, json_t *arguments, int fd)
{
	json_t *request = json_pack("{s:s, s:o*}", "execute", command, "arguments", arguments);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int err = text ? transmit(qmp, text, fd) : fail("out of memory");

	qmp->open_ended = !err;
	free(text);
	json_decref(request);
	return err ? NULL : answer_to(qmp, command);
}

int qmp_do(struct qmp *qmp, const char *command, json_t *arguments)
{
	json_t *result = qmp_ask(qmp, command, arguments, -1);

	json_decref(result);
	return result ? 0 : -1;
}

bool qmp_is_open_ended(const struct qmp *qmp)
{
	return qmp->open_ended;
}

static int connect_to(const struct guest *guest)
{
	struct timeval limit = { .tv_sec = ANSWER_SECONDS };
	struct sockaddr_un address;
	int fd;

	if (socket_address(guest->directory, guest->name, "qmp", &address))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno(errno, "socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	fail_errno(errno, "%s", address.sun_path);
	close(fd);
	return -1;
}

static int connect_soon(const struct guest *guest)
{
	int fd, tries;

	for (tries = START_MS / TRY_MS; tries; tries--) {
		struct pollfd ended = { .fd = guest->qemu, .events = POLLIN };

		fd = connect_to(guest);
		if (fd >= 0)
			return fd;
		if (guest->qemu < 0 || poll(&ended, 1, TRY_MS))
			return fail("QEMU has ended");
	}
	return fail("QEMU does not listen for %d s", START_MS / 1000);
}

struct qmp *qmp_open(struct guest *guest)
{
	struct qmp *qmp = calloc(1, sizeof(*qmp));
	int fd = connect_soon(guest);
	json_t *greeting;

	if (!qmp || fd < 0)
		goto free_qmp;
	qmp->in = fdopen(fd, "r");
	if (!qmp->in) {
		close(fd);
		goto free_qmp;
	}
	greeting = receive(qmp);
	json_decref(greeting);
	if (greeting && !qmp_do(qmp, "qmp_capabilities", NULL))
		return qmp;
	fclose(qmp->in);
	free(qmp->line);
free_qmp:
	free(qmp);
	return NULL;
}

void qmp_close(struct qmp *qmp)
{
	fclose(qmp->in);
	free(qmp->line);
	free(qmp);
}

static bool is_served(const struct guest *guest)
{
	int fd = connect_to(guest);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int end_stale(struct guest *guest)
{
	struct qmp *qmp = qmp_open(guest);
	json_t *status = qmp ? qmp_ask(qmp, "query-status", NULL, -1) : NULL;
	bool runs = json_is_true(json_object_get(status, "running"));
	int err = status ? 0 : -1, tries;

	json_decref(status);
	if (runs)
		err = fail("its QEMU runs, without an agent: end that first");
	else if (!err)
		err = qmp_do(qmp, "quit", NULL);
	if (qmp)
		qmp_close(qmp);
	for (tries = START_MS / TRY_MS; !err && tries && is_served(guest); tries--)
		poll(NULL, 0, TRY_MS);
	return err;
}

int qmp_end_stale(struct guest *guest, bool resume)
{
	if (!is_served(guest))
		return 0;
	return resume ? end_stale(guest) :
	       fail("its QEMU is there, without an agent: end that first");
}
