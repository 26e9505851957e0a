// SPDX-License-Identifier: GPL-2.0
/* The incoming side: from a session to a running guest. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libliveupdate.h"
#include "vmm.h"

struct incoming {
	FILE *report;
	int session;
	int ram_fd;
	uint64_t digest;
	uint64_t moments[MOMENT_COUNT];
};

static int claim_session(const struct options *options)
{
	int dev = agent_open_device();
	int session;

	if (dev < 0)
		return dev;
	session = liveupdate_claim_session(dev, options->name);
	if (session == -EOPNOTSUPP) {
		fprintf(stderr, "luo-vmm: resume: warning: "
			"this kernel takes no session back: there is one attempt\n");
		session = liveupdate_retrieve_session(dev, options->name);
	}
	close(dev);
	return session < 0 ? fail(session, "session %s", options->shown_name) :
			     session;
}

/*
 * The session stays open: as long as it is not finished the kernel keeps the
 * files for whoever retrieves them after a crash of ours.
 */
static int retrieve(struct agent *agent, struct incoming *incoming)
{
	int err;

	incoming->session = claim_session(agent->options);
	if (incoming->session < 0)
		return incoming->session;

	agent->image_fd = liveupdate_retrieve_fd(incoming->session, TOKEN_STATE);
	if (agent->image_fd < 0)
		return fail(agent->image_fd, "retrieving guest state");
	err = image_map(agent->image_fd, &agent->image);
	if (!err)
		err = image_verify(agent->image);
	if (err)
		return err;

	incoming->ram_fd = liveupdate_retrieve_fd(incoming->session, TOKEN_RAM);
	if (incoming->ram_fd < 0)
		return fail(incoming->ram_fd, "retrieving guest RAM");
	return 0;
}

static int check_ram(struct agent *agent, struct incoming *incoming)
{
	const struct image *image = agent->image;
	struct vm *vm = &agent->vm;

	if (vm->ram_bytes != image->ram_bytes)
		return fail_text(-EBADMSG, "guest RAM of %" PRIu64
				 " bytes, the state is for %" PRIu64,
				 vm->ram_bytes, image->ram_bytes);
	if (!ram_is_sealed(vm->ram_fd))
		return fail_text(-EBADMSG, "guest RAM lost its seals");
	if (!image->has_digest)
		return 0;
	incoming->digest = digest(vm->ram, vm->ram_bytes);
	if (incoming->digest == image->ram_digest || agent->options->keep_going)
		return 0;
	return fail_text(-EBADMSG, "guest RAM changed on the way: digest %016"
			 PRIx64 " became %016" PRIx64,
			 image->ram_digest, incoming->digest);
}

static int restore_and_run(struct agent *agent, struct incoming *incoming)
{
	int err = image_restore(agent->image, &agent->vm);

	if (!err)
		err = vm_start_thread(&agent->vm);
	if (err)
		return err;
	memcpy(incoming->moments, agent->image->moments,
	       sizeof(agent->image->moments));
	image_spoil(agent->image);
	incoming->moments[MOMENT_RUN] = tsc_now();
	vm_continue(&agent->vm);
	return 0;
}

/*
 * Once this has succeeded the guest is nowhere but in this process, which has
 * to go on whatever happens.
 */
static int finish(struct agent *agent, struct incoming *incoming)
{
	int err = vm_wait_reports(&agent->vm, 1, agent->options->timeout);

	if (err)
		return err;
	err = liveupdate_finish(incoming->session);
	if (err)
		return fail(err, "finishing session %s",
			    agent->options->shown_name);
	close(incoming->session);
	incoming->session = -1;
	return 0;
}

static uint64_t file_bytes(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_size;
}

static void report_resume(struct agent *agent, struct incoming *incoming,
			  FILE *out)
{
	const struct image *image = agent->image;
	struct guest_report report;
	uint64_t gap_us;

	add_moments(incoming->moments, vcpu_tsc_khz(agent->vm.vcpu));
	vm_get_report(&agent->vm, &report, &gap_us);
	fprintf(out, "updates %u\n", agent->updates);
	fprintf(out, "ram_bytes %" PRIu64 "\n", agent->vm.ram_bytes);
	fprintf(out, "state_bytes %" PRIu64 "\n", file_bytes(agent->image_fd));
	if (image->has_digest) {
		fprintf(out, "digest_before %016" PRIx64 "\n", image->ram_digest);
		fprintf(out, "digest_after %016" PRIx64 "\n", incoming->digest);
	}
	fprintf(out, "reports_before %" PRIu64 "\n", image->report.number);
	fprintf(out, "reports_after %" PRIu64 "\n", report.number);
	fprintf(out, "counter_before %" PRIu64 "\n", image->report.counter);
	fprintf(out, "counter_after %" PRIu64 "\n", report.counter);
	fprintf(out, "clock_before_ms %" PRIu64 "\n", image->report.clock_ms);
	fprintf(out, "clock_after_ms %" PRIu64 "\n", report.clock_ms);
	fprintf(out, "guest_gap_us %" PRIu64 "\n", gap_us);
	report_standstill(out, incoming->moments,
			  vcpu_tsc_khz(agent->vm.vcpu));
}

/* The guest tells how long it stood still in its first or second report. */
static void write_report(struct agent *agent, struct incoming *incoming)
{
	const char *path = agent->options->report;
	int err = vm_wait_reports(&agent->vm, 2, agent->options->timeout);

	if (!err) {
		report_resume(agent, incoming, incoming->report);
		if (fflush(incoming->report))
			err = fail(-errno, "%s", path ? path : "stdout");
	}
	if (err)
		fprintf(stderr, "luo-vmm: resume: warning: no report: %s\n",
			fail_message());
	if (path)
		fclose(incoming->report);
}

/* What can fail is done before the guest runs. */
static int open_outputs(struct agent *agent, struct incoming *incoming)
{
	const char *path = agent->options->report;

	incoming->report = path ? fopen(path, "we") : stdout;
	if (!incoming->report)
		return fail(-errno, "%s", path);
	return agent_listen(agent);
}

static int resume(struct agent *agent, struct incoming *incoming)
{
	int err;

	err = open_outputs(agent, incoming);
	if (!err)
		err = retrieve(agent, incoming);
	if (err)
		return err;
	incoming->moments[MOMENT_RETRIEVED] = tsc_now();
	err = vm_create(&agent->vm, incoming->ram_fd);
	if (!err)
		err = agent_open_serial(agent);
	if (!err)
		err = check_ram(agent, incoming);
	if (err)
		return err;
	incoming->moments[MOMENT_DIGESTED] = tsc_now();
	agent->updates = agent->image->updates;

	err = restore_and_run(agent, incoming);
	if (!err)
		err = finish(agent, incoming);
	if (!err)
		write_report(agent, incoming);
	return err;
}

int verb_resume(const struct options *options)
{
	struct incoming incoming = { .session = -1, .ram_fd = -1 };
	struct agent agent = AGENT_INIT(options);
	int err;

	incoming.moments[MOMENT_AGENT] = tsc_now();
	err = resume(&agent, &incoming);
	if (!err)
		err = agent_serve(&agent);
	agent_close(&agent);
	return err;
}
