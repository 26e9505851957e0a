// SPDX-License-Identifier: GPL-2.0
/* A guest from its first instruction, and one that is moved within a kernel. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "vmm.h"

static int boot_guest(struct agent *agent)
{
	const struct options *options = agent->options;
	int ram_fd = ram_create(options->memory);
	int err;

	if (ram_fd < 0)
		return ram_fd;
	err = vm_create(&agent->vm, ram_fd);
	if (err) {
		close(ram_fd);
		return err;
	}
	agent->image_fd = image_create(&agent->image);
	if (agent->image_fd < 0)
		return agent->image_fd;
	err = agent_open_serial(agent);
	if (!err)
		err = vm_boot(&agent->vm, options->report_ms);
	if (!err)
		err = vm_start_thread(&agent->vm);
	if (!err)
		vm_continue(&agent->vm);
	return err;
}

int verb_run(const struct options *options)
{
	struct agent agent = AGENT_INIT(options);
	int err = agent_listen(&agent);

	if (!err)
		err = boot_guest(&agent);
	if (!err)
		err = agent_serve(&agent);
	agent_close(&agent);
	return err;
}

static int move_guest(struct agent *agent)
{
	struct image *image = agent->image;
	int ram_fd = agent->vm.ram_fd;
	int output = agent->vm.output;
	int err;

	err = vm_pause(&agent->vm);
	if (!err)
		err = image_save_vcpu(image, &agent->vm);
	if (err)
		return err;
	image_save_meta(image, &agent->vm, true);
	image_seal(image);
	if (agent->options->corrupt)
		corrupt_ram(&agent->vm);
	vm_destroy(&agent->vm, true);

	err = vm_create(&agent->vm, ram_fd);
	if (!err)
		err = image_verify(image);
	if (!err)
		err = image_restore(image, &agent->vm);
	if (!err)
		err = vm_start_thread(&agent->vm);
	agent->vm.output = output;
	return err;
}

static int check_guest(struct agent *agent, const struct guest_report *before)
{
	struct guest_report after;
	uint64_t gap_us;
	int err;

	err = vm_wait_sweep(&agent->vm, agent->options->timeout);
	if (err)
		return err;
	vm_get_report(&agent->vm, &after, &gap_us);
	printf("counter_before %" PRIu64 "\n", before->counter);
	printf("counter_after %" PRIu64 "\n", after.counter);
	printf("guest_gap_us %" PRIu64 "\n", gap_us);
	printf("guest_bad %" PRIu64 "\n", after.bad);
	printf("guest_backwards %" PRIu64 "\n", after.backwards);
	if (after.bad || after.backwards)
		return fail_text(-EIO, "the guest found %" PRIu64 " faults",
				 after.bad + after.backwards);
	if (after.counter <= before->counter || after.ticks <= before->ticks ||
	    after.clock_ms <= before->clock_ms)
		return fail_text(-EIO, "the guest did not go on where it was");
	return 0;
}

int verb_selftest(const struct options *options)
{
	struct agent agent = AGENT_INIT(options);
	struct guest_report before;
	uint64_t after;
	int err;

	err = boot_guest(&agent);
	if (!err)
		err = vm_wait_reports(&agent.vm, 2, options->timeout);
	if (!err)
		err = move_guest(&agent);
	if (err)
		return err;

	before = agent.image->report;
	after = digest(agent.vm.ram, agent.vm.ram_bytes);
	printf("digest_before %016" PRIx64 "\n", agent.image->ram_digest);
	printf("digest_after %016" PRIx64 "\n", after);
	vm_continue(&agent.vm);
	err = check_guest(&agent, &before);
	if (!err && after != agent.image->ram_digest)
		err = fail_text(-EIO, "guest RAM changed on the way");
	vm_destroy(&agent.vm, false);
	return err;
}
