// SPDX-License-Identifier: GPL-2.0
/*
 * The control socket. A request is a line of words, the answer is lines of
 * "key value" and then "ok" or "error TEXT".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm.h"

#define REQUEST_MAX	512
#define POLL_MS		200

int agent_open_serial(struct agent *agent)
{
	const char *path = agent->options->serial;
	int fd;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY,
		  0600);
	if (fd < 0)
		return fail(-errno, "%s", path);
	agent->vm.output = fd;
	return 0;
}

static void print_report(struct agent *agent, FILE *out)
{
	struct guest_report report;

	vm_get_report(&agent->vm, &report, NULL);
	fprintf(out, "guest_reports %" PRIu64 "\n", report.number);
	fprintf(out, "guest_counter %" PRIu64 "\n", report.counter);
	fprintf(out, "guest_pages %" PRIu64 "\n", report.pages);
	fprintf(out, "guest_bad %" PRIu64 "\n", report.bad);
	fprintf(out, "guest_backwards %" PRIu64 "\n", report.backwards);
	fprintf(out, "guest_ticks %" PRIu64 "\n", report.ticks);
	fprintf(out, "guest_clock_ms %" PRIu64 "\n", report.clock_ms);
}

static int serve_status(struct agent *agent, char *words, FILE *out)
{
	(void)words;
	fprintf(out, "name %s\n", agent->options->name);
	fprintf(out, "memory %" PRIu64 "\n", agent->vm.ram_bytes);
	fprintf(out, "updates %u\n", agent->updates);
	fprintf(out, "tsc_khz %u\n", vcpu_tsc_khz(agent->vm.vcpu));
	fprintf(out, "session %s\n", agent->session >= 0 ? "open" : "none");
	print_report(agent, out);
	return 0;
}

/* A guest that found a fault is a failure to verify. */
static int serve_verify(struct agent *agent, char *words, FILE *out)
{
	struct guest_report report;
	int err = vm_wait_sweep(&agent->vm, agent->options->timeout);

	(void)words;
	print_report(agent, out);
	if (err)
		return err;
	vm_get_report(&agent->vm, &report, NULL);
	if (report.bad || report.backwards)
		return fail_text(-EIO, "the guest found %" PRIu64 " faults",
				 report.bad + report.backwards);
	return 0;
}

static int serve_update(struct agent *agent, char *words, FILE *out)
{
	struct update update = { 0 };
	char *word;
	int err;

	while ((word = strsep(&words, " "))) {
		if (!strcmp(word, "corrupt"))
			update.corrupt = true;
		else if (!strncmp(word, "device=", 7))
			update.device = word + 7;
	}
	err = agent_update(agent, &update);
	fprintf(out, "still_us %" PRIu64 "\n", update.still_us);
	return err;
}

static int serve_stop(struct agent *agent, char *words, FILE *out)
{
	(void)words;
	print_report(agent, out);
	return 0;
}

static const struct request {
	const char *name;
	int (*serve)(struct agent *agent, char *words, FILE *out);
	bool last;
} requests[] = {
	{ "status", serve_status, false },
	{ "verify", serve_verify, false },
	{ "update", serve_update, false },
	{ "stop", serve_stop, true },
};

static const struct request *find_request(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		if (!strcmp(requests[i].name, name))
			return &requests[i];
	}
	return NULL;
}

/* Returns true if this was the last request. */
static bool serve_client(struct agent *agent, int client)
{
	FILE *stream = fdopen(client, "w");
	const struct request *request;
	char line[REQUEST_MAX] = "";
	char *words = line;
	int err;

	if (!stream) {
		close(client);
		return false;
	}
	if (read(client, line, sizeof(line) - 1) < 0)
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	request = find_request(strsep(&words, " "));
	err = request ? request->serve(agent, words, stream) :
			fail_text(-EINVAL, "unknown request `%s'", line);
	if (err)
		fprintf(stream, "error %s\n", fail_message());
	else
		fprintf(stream, "ok\n");
	fclose(stream);
	return request && request->last;
}

static int socket_address(const char *path, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(address->sun_path))
		return fail(-ENAMETOOLONG, "%s", path);
	strcpy(address->sun_path, path);
	return 0;
}

static int listen_on(const char *path)
{
	struct sockaddr_un address;
	int fd, err;

	err = socket_address(path, &address);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(-errno, "socket");
	unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 4) < 0) {
		err = fail(-errno, "%s", path);
		close(fd);
		return err;
	}
	return fd;
}

static int check_alive(struct vm *vm)
{
	int err = 0;

	pthread_mutex_lock(&vm->lock);
	if (vm->state == VM_DEAD)
		err = fail_text(-EIO, "%s", vm->death);
	pthread_mutex_unlock(&vm->lock);
	return err;
}

int agent_serve(struct agent *agent)
{
	struct pollfd listener = {
		.fd = listen_on(agent->options->socket),
		.events = POLLIN,
	};
	bool stopped = false;
	int client, err = 0;

	if (listener.fd < 0)
		return listener.fd;
	signal(SIGPIPE, SIG_IGN);
	while (!stopped && !err) {
		if (poll(&listener, 1, POLL_MS) > 0) {
			client = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
			if (client >= 0)
				stopped = serve_client(agent, client);
		}
		err = check_alive(&agent->vm);
	}
	close(listener.fd);
	unlink(agent->options->socket);
	return err;
}

static int print_answer(FILE *stream)
{
	char line[512];

	while (fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "ok"))
			return 0;
		if (!strncmp(line, "error ", 6))
			return fail_text(-EIO, "%s", line + 6);
		puts(line);
	}
	return fail_text(-EPIPE, "the agent went away");
}

static int connect_to(const char *path)
{
	struct sockaddr_un address;
	int fd, err;

	err = socket_address(path, &address);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(-errno, "socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		err = fail(-errno, "%s", path);
		close(fd);
		return err;
	}
	return fd;
}

int agent_ask(const struct options *options)
{
	int fd = connect_to(options->socket);
	FILE *stream;
	int err;

	if (fd < 0)
		return fd;
	dprintf(fd, "%s%s%s%s\n", options->verb,
		options->corrupt ? " corrupt" : "",
		options->device ? " device=" : "",
		options->device ? options->device : "");
	stream = fdopen(fd, "r");
	if (!stream) {
		close(fd);
		return fail(-ENOMEM, "%s", options->socket);
	}
	err = print_answer(stream);
	fclose(stream);
	return err;
}
