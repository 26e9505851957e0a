// SPDX-License-Identifier: GPL-2.0
/*
 * The control socket. A request is a line of words, the answer is lines of
 * "key value" and then "ok" or "error TEXT".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "libliveupdate.h"
#include "vmm.h"

/* A verb, its words and a path. */
#define REQUEST_MAX	(PATH_MAX + 64)
/* A client's request is there as soon as it is connected, or it is none. */
#define REQUEST_SECONDS	2
#define POLL_MS		200

int agent_open_device(void)
{
	int dev = liveupdate_open();

	return dev < 0 ? fail_text(dev, "%s: %s", LIVEUPDATE_DEVICE,
				   device_error(dev)) : dev;
}

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
	fprintf(out, "name %s\n", agent->options->shown_name);
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

	while (words) {
		if (!strncmp(words, "device=", 7)) {
			update.device = words + 7;
			break;
		}
		word = strsep(&words, " ");
		if (strcmp(word, "corrupt"))
			return fail_text(-EINVAL, "unknown word `%s'", word);
		update.corrupt = true;
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
	bool takes_words;
	bool last;
} requests[] = {
	{ "status", serve_status, false, false },
	{ "verify", serve_verify, false, false },
	{ "update", serve_update, true, false },
	{ "stop", serve_stop, false, true },
};

static time_t uptime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* A line, without its newline. */
static int read_request(int client, char line[REQUEST_MAX])
{
	struct timeval timeout = { .tv_sec = REQUEST_SECONDS };
	time_t end = uptime() + REQUEST_SECONDS;
	char *newline = NULL;
	size_t length = 0;
	ssize_t got;

	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	while (!newline && length < REQUEST_MAX && uptime() <= end) {
		got = recv(client, line + length, REQUEST_MAX - length, 0);
		if (got < 0)
			break;
		if (!got)
			return fail_text(-EINVAL, "a request ends in a newline");
		newline = memchr(line + length, '\n', got);
		length += got;
	}
	if (newline)
		*newline = '\0';
	else if (length == REQUEST_MAX)
		return fail_text(-EINVAL, "a request of more than %d bytes",
				 REQUEST_MAX);
	else
		return fail_text(-ETIMEDOUT, "no request within %d seconds",
				 REQUEST_SECONDS);
	return 0;
}

/* Sets *last if this was the last request. */
static int serve_request(struct agent *agent, int client, FILE *out, bool *last)
{
	char line[REQUEST_MAX], *words = line, *name;
	const struct request *request;
	int err = read_request(client, line);

	if (err)
		return err;
	name = strsep(&words, " ");
	request = FIND_ROW(requests, name);
	if (!request)
		return fail_text(-EINVAL, "unknown request `%s'", name);
	if (words && !request->takes_words)
		return fail_text(-EINVAL, "%s: unexpected `%s'", name, words);
	*last = request->last;
	return request->serve(agent, words, out);
}

/* Returns true if this was the last request. */
static bool serve_client(struct agent *agent, int client)
{
	FILE *stream = fdopen(client, "w");
	bool last = false;

	if (!stream) {
		close(client);
		return false;
	}
	if (serve_request(agent, client, stream, &last))
		fprintf(stream, "error %s\n", fail_message());
	else
		fprintf(stream, "ok\n");
	fclose(stream);
	return last;
}

/* A socket that is bound to the path or connected to it. */
static int open_socket(const char *path,
		       int (*attach)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlen(path) >= sizeof(address.sun_path))
		return fail(-ENAMETOOLONG, "%s", path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(-errno, "socket");
	if (attach(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		err = fail(-errno, "%s", path);
		close(fd);
		return err;
	}
	return fd;
}

int agent_listen(struct agent *agent)
{
	const char *path = agent->options->socket;
	int fd = open_socket(path, connect);
	struct stat st;

	if (fd >= 0) {
		close(fd);
		return fail_text(-EADDRINUSE, "%s: an agent serves it", path);
	}
	/* From now on nobody ends the guest by going away. */
	signal(SIGPIPE, SIG_IGN);
	/* What an agent left that is gone. */
	if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
		unlink(path);
	fd = open_socket(path, bind);
	if (fd < 0)
		return fd;
	agent->listener = fd;
	return listen(fd, 4) < 0 ? fail(-errno, "%s", path) : 0;
}

void agent_close(struct agent *agent)
{
	if (agent->listener < 0)
		return;
	close(agent->listener);
	agent->listener = -1;
	unlink(agent->options->socket);
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
		.fd = agent->listener,
		.events = POLLIN,
	};
	bool stopped = false;
	int client, err = 0;

	while (!stopped && !err) {
		if (poll(&listener, 1, POLL_MS) > 0) {
			client = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
			if (client >= 0)
				stopped = serve_client(agent, client);
		}
		err = check_alive(&agent->vm);
	}
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

int agent_ask(const struct options *options)
{
	FILE *stream;
	int fd, err;

	if (options->device && strchr(options->device, '\n'))
		return fail_text(-EINVAL, "--device takes no newline");
	fd = open_socket(options->socket, connect);
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
