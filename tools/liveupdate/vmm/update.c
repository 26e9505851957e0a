// SPDX-License-Identifier: GPL-2.0
/* The outgoing side: from a running guest to reboot(). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "libliveupdate.h"
#include "vmm.h"

static int check_kernel_loaded(void)
{
	char loaded = 0;
	int fd = open("/sys/kernel/kexec_loaded", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail(-errno, "/sys/kernel/kexec_loaded");
	if (read(fd, &loaded, 1) != 1 || loaded != '1')
		loaded = 0;
	close(fd);
	if (!loaded)
		return fail_text(-ENOENT,
				 "no kernel is loaded, load one with `kexec -s -l'");
	return 0;
}

static int preserve_files(struct agent *agent, int session)
{
	int err;

	err = liveupdate_preserve_fd(session, agent->vm.ram_fd, TOKEN_RAM);
	if (err)
		return fail(err, "preserving guest RAM");
	err = liveupdate_preserve_fd(session, agent->image_fd, TOKEN_STATE);
	if (err)
		return fail(err, "preserving guest state");
	return 0;
}

/*
 * All that can be done while the guest runs. The session outlives an update
 * that is called off and serves the next one. The device is closed at once: as
 * long as it is open nobody else gets in.
 */
static int update_prepare(struct agent *agent)
{
	int dev, session, err;

	err = check_kernel_loaded();
	if (err || agent->session >= 0)
		return err;

	dev = agent_open_device();
	if (dev < 0)
		return dev;
	session = liveupdate_create_session(dev, agent->options->name);
	close(dev);
	if (session < 0)
		return fail(session, "session %s", agent->options->shown_name);

	err = preserve_files(agent, session);
	if (err)
		close(session);
	else
		agent->session = session;
	return err;
}

void corrupt_ram(struct vm *vm)
{
	struct guest_report report;
	uint64_t pages = vm->ram_bytes / GUEST_PAGE_SIZE, page;

	vm_get_report(vm, &report, NULL);
	page = (report.counter + pages / 2) % pages;
	if (page < pages / 8)
		page += pages / 8;
	vm->ram[page * GUEST_PAGE_SIZE + 1234] ^= 0x10;
}

static void drain(int output)
{
	if (isatty(output))
		tcdrain(output);
}

static int reboot_kexec(void)
{
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);
	return fail(-errno, "reboot(LINUX_REBOOT_CMD_KEXEC)");
}

static int update_commit(struct agent *agent, bool corrupt)
{
	struct image *image = agent->image;
	int err;

	image->moments[MOMENT_PAUSED] = tsc_now();
	err = image_save_vcpu(image, &agent->vm);
	if (err)
		return err;
	image->moments[MOMENT_SAVED] = tsc_now();
	image_save_meta(image, &agent->vm, !agent->options->no_digest);
	if (corrupt)
		corrupt_ram(&agent->vm);
	image->updates = agent->updates + 1;
	image->moments[MOMENT_REBOOT] = tsc_now();
	image_seal(image);
	return reboot_kexec();
}

/* *fd stays -1 if there is no device. */
static int preserve_device(struct agent *agent, const char *path, int *fd)
{
	int err;

	if (!path)
		return 0;
	*fd = open(path, O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		return fail(-errno, "%s", path);
	err = liveupdate_preserve_fd(agent->session, *fd, TOKEN_DEVICE);
	if (err) {
		close(*fd);
		return fail(err, "preserving %s", path);
	}
	return 0;
}

static int unpreserve_device(struct agent *agent, int fd, int err)
{
	int undo;

	if (fd < 0)
		return err;
	undo = liveupdate_unpreserve_fd(agent->session, TOKEN_DEVICE);
	close(fd);
	/* The first failure is the one to report. */
	return err || !undo ? err : fail(undo, "taking the device out again");
}

int agent_update(struct agent *agent, struct update *update)
{
	uint64_t start;
	int device = -1, err;

	update->still_us = 0;
	err = update_prepare(agent);
	if (!err)
		err = preserve_device(agent, update->device, &device);
	if (err)
		return err;

	drain(agent->vm.output);
	start = tsc_now();
	agent->image->moments[MOMENT_PAUSE] = start;
	err = vm_pause(&agent->vm);
	if (!err) {
		err = update_commit(agent, update->corrupt);
		image_spoil(agent->image);
		vm_continue(&agent->vm);
	}
	update->still_us = ticks_to_us(tsc_now() - start,
				       vcpu_tsc_khz(agent->vm.vcpu));
	return unpreserve_device(agent, device, err);
}
