// SPDX-License-Identifier: GPL-2.0
/* QEMU's machine protocol: one command at a time, events are passed over. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "qemu.h"

/* QEMU answers at once, but for what waits for its disks. */
#define ANSWER_MS	120000
#define START_MS	60000
#define TRY_MS		20
/* Of one message: a guest that has taken over its QEMU is not to take our memory. */
#define LINE_MAX_BYTES	(1 << 20)

struct qmp {
	struct guest *guest;
	int fd;
	/* What came and was not read yet. */
	char *data;
	size_t size, length;
	/* When the answer has to be there. */
	int64_t limit;
	bool open_ended;
};

static int fetch(struct qmp *qmp)
{
	struct pollfd readable = { .fd = qmp->fd, .events = POLLIN };
	ssize_t got;

	if (qmp->length == qmp->size) {
		size_t size = qmp->size ? 2 * qmp->size : 4096;
		char *data = size <= LINE_MAX_BYTES ? realloc(qmp->data, size) : NULL;

		if (!data)
			return fail("QEMU sent a line of more than %zu bytes", qmp->size);
		qmp->data = data;
		qmp->size = size;
	}
	if (poll(&readable, 1, limit_left(qmp->limit)) != 1)
		return fail("QEMU does not answer in time");
	got = recv(qmp->fd, qmp->data + qmp->length, qmp->size - qmp->length, 0);
	if (got <= 0)
		return fail("QEMU has ended");
	qmp->length += got;
	return 0;
}

/* NULL if it is none in time; events are no way to have more of that. */
static json_t *receive(struct qmp *qmp)
{
	json_t *message;
	json_error_t error;
	size_t seen = 0;
	char *end;

	while (!(end = qmp->data ? memchr(qmp->data + seen, '\n', qmp->length - seen) : NULL)) {
		seen = qmp->length;
		if (fetch(qmp))
			return NULL;
	}
	if (!limit_left(qmp->limit)) {
		fail("QEMU does not answer in time");
		return NULL;
	}
	end++;
	message = json_loadb(qmp->data, end - qmp->data, 0, &error);
	qmp->length -= end - qmp->data;
	memmove(qmp->data, end, qmp->length);
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
	len = sendmsg(qmp->fd, &message, MSG_NOSIGNAL);
	return len == (ssize_t)part.iov_len ? 0 :
	       fail_errno(len < 0 ? errno : EIO, "QEMU does not listen");
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
	qmp->limit = limit_in(qmp->guest, ANSWER_MS);
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
	struct sockaddr_un address;
	int fd;

	if (socket_address(guest->directory, guest->name, "qmp", &address))
		return -1;
	/* One that hangs has a queue that is full. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_errno(errno, "socket");
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	fail_errno(errno, "%s", address.sun_path);
	close(fd);
	return -1;
}

static int connect_soon(const struct guest *guest)
{
	int64_t limit = limit_in(guest, START_MS);
	int fd;

	do {
		struct pollfd ended = { .fd = guest->qemu, .events = POLLIN };

		fd = connect_to(guest);
		if (fd >= 0)
			return fd;
		if (guest->qemu < 0 || poll(&ended, 1, TRY_MS))
			return fail("QEMU has ended");
	} while (limit_left(limit));
	return fail("QEMU does not listen in time");
}

struct qmp *qmp_open(struct guest *guest)
{
	struct qmp *qmp = calloc(1, sizeof(*qmp));
	json_t *greeting;

	if (!qmp) {
		fail_errno(ENOMEM, "QMP");
		return NULL;
	}
	qmp->guest = guest;
	qmp->fd = connect_soon(guest);
	qmp->limit = limit_in(guest, ANSWER_MS);
	greeting = qmp->fd >= 0 ? receive(qmp) : NULL;
	json_decref(greeting);
	if (greeting && !qmp_do(qmp, "qmp_capabilities", NULL))
		return qmp;
	qmp_close(qmp);
	return NULL;
}

void qmp_close(struct qmp *qmp)
{
	if (qmp->fd >= 0)
		close(qmp->fd);
	free(qmp->data);
	free(qmp);
}

int qmp_wait(struct guest *guest)
{
	int fd = connect_soon(guest), ready;
	struct pollfd events[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = guest->qemu, .events = POLLIN },
	};

	if (fd < 0)
		return -1;
	/* It listens before it has made its memory, which may take long. */
	do
		ready = poll(events, ARRAY_SIZE(events), TRY_MS);
	while (!ready && !signals_end());
	close(fd);
	if (!ready)
		return fail("ended before the guest ran");
	return events[1].revents ? fail("QEMU has ended") : 0;
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
