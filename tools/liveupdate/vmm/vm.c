// SPDX-License-Identifier: GPL-2.0
/* A KVM virtual machine with one vCPU, which runs in a thread of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	0x0008U
#endif

#define VCPU_KICK_SIGNAL	SIGUSR1

/* Intel's KVM needs three pages and one more that no guest RAM occupies. */
#define KVM_IDENTITY_MAP_ADDR	0xfffbc000ULL
#define KVM_TSS_ADDR		0xfffbd000UL

#define IOAPIC_PINS	24

/* The mapping of RAM that shrinks is a crash of whoever touches it. */
#define RAM_SEALS	(F_SEAL_SHRINK | F_SEAL_GROW)

bool ram_is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & RAM_SEALS) == RAM_SEALS;
}

int ram_create(uint64_t bytes)
{
	int fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	int err;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return fail(-errno, "memfd_create");

	err = -posix_fallocate(fd, 0, bytes);
	if (!err && fcntl(fd, F_ADD_SEALS, RAM_SEALS) < 0)
		err = -errno;
	if (err) {
		close(fd);
		return fail(err, "guest RAM of %llu MiB",
			    (unsigned long long)(bytes / MIB));
	}
	return fd;
}

static int vm_map_ram(struct vm *vm)
{
	struct kvm_userspace_memory_region region = { 0 };
	struct stat st;

	if (fstat(vm->ram_fd, &st) < 0)
		return fail(-errno, "guest RAM");
	if (st.st_size < (off_t)RAM_MIN || st.st_size > (off_t)RAM_MAX)
		return fail(-EINVAL, "guest RAM of %lld bytes",
			    (long long)st.st_size);

	vm->ram = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       vm->ram_fd, 0);
	if (vm->ram == MAP_FAILED) {
		vm->ram = NULL;
		return fail(-errno, "mapping of guest RAM");
	}
	vm->ram_bytes = st.st_size;

	region.memory_size = vm->ram_bytes;
	region.userspace_addr = (uintptr_t)vm->ram;
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return fail(-errno, "KVM_SET_USER_MEMORY_REGION");
	return 0;
}

/* The local APIC is the kernel's; there are no other interrupt controllers. */
static int vm_create_kvm(struct vm *vm)
{
	struct kvm_enable_cap split = {
		.cap = KVM_CAP_SPLIT_IRQCHIP,
		.args = { IOAPIC_PINS },
	};
	uint64_t identity = KVM_IDENTITY_MAP_ADDR;

	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		return fail(-errno, "/dev/kvm");
	if (ioctl(vm->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return fail_text(-ENOTSUP, "/dev/kvm: unknown API version");

	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return fail(-errno, "KVM_CREATE_VM");
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return fail(-errno, "KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, KVM_TSS_ADDR) < 0)
		return fail(-errno, "KVM_SET_TSS_ADDR");
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &split) < 0)
		return fail(-errno, "KVM_CAP_SPLIT_IRQCHIP");
	/*
	 * 0 is the counter's own rate. By default KVM asks for the rate it was
	 * loaded with: if the kernel has measured anew since then, a CPU that
	 * can't scale the counter leaves the vCPU without a usable one.
	 */
	if (ioctl(vm->fd, KVM_SET_TSC_KHZ, 0) < 0)
		return fail(-errno, "KVM_SET_TSC_KHZ");
	return 0;
}

static int vm_create_vcpu(struct vm *vm)
{
	int size;

	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vm->vcpu < 0)
		return fail(-errno, "KVM_CREATE_VCPU");

	size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < 0)
		return fail(-errno, "KVM_GET_VCPU_MMAP_SIZE");
	vm->run_size = size;
	vm->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       vm->vcpu, 0);
	if (vm->run == MAP_FAILED) {
		vm->run = NULL;
		return fail(-errno, "mapping of the vCPU");
	}
	return 0;
}

int vm_create(struct vm *vm, int ram_fd)
{
	int err;

	*vm = (struct vm) {
		.kvm = -1,
		.fd = -1,
		.vcpu = -1,
		.ram_fd = ram_fd,
		.output = STDOUT_FILENO,
		.state = VM_PAUSED,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};

	err = vm_create_kvm(vm);
	if (!err)
		err = vm_map_ram(vm);
	if (!err)
		err = vm_create_vcpu(vm);
	if (err)
		vm_destroy(vm, true);
	return err;
}

static void vm_stop_thread(struct vm *vm)
{
	if (!vm->has_thread)
		return;

	pthread_mutex_lock(&vm->lock);
	vm->quit_wanted = true;
	vm->run->immediate_exit = 1;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	pthread_kill(vm->thread, VCPU_KICK_SIGNAL);
	pthread_join(vm->thread, NULL);
	vm->has_thread = false;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void vm_destroy(struct vm *vm, bool keep_ram)
{
	vm_stop_thread(vm);
	if (vm->run)
		munmap(vm->run, vm->run_size);
	close_fd(vm->vcpu);
	close_fd(vm->fd);
	close_fd(vm->kvm);
	if (vm->ram)
		munmap(vm->ram, vm->ram_bytes);
	if (!keep_ram)
		close_fd(vm->ram_fd);
}

static int vm_boot_registers(struct vm *vm)
{
	struct kvm_segment code = {
		.limit = 0xffffffff,
		.selector = 0x08,
		.type = 0xb,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
	struct kvm_segment data = code;
	struct kvm_regs regs = {
		.rip = GUEST_LOAD_ADDR,
		.rbx = GUEST_BOOT_ADDR,
		.rflags = 0x2,
	};
	struct kvm_sregs sregs;

	data.selector = 0x10;
	data.type = 0x3;
	if (ioctl(vm->vcpu, KVM_GET_SREGS, &sregs) < 0)
		return fail(-errno, "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	sregs.cr0 |= 1;
	if (ioctl(vm->vcpu, KVM_SET_SREGS, &sregs) < 0)
		return fail(-errno, "KVM_SET_SREGS");
	if (ioctl(vm->vcpu, KVM_SET_REGS, &regs) < 0)
		return fail(-errno, "KVM_SET_REGS");
	return 0;
}

int vm_boot(struct vm *vm, unsigned int report_ms)
{
	struct guest_boot boot = {
		.magic = GUEST_BOOT_MAGIC,
		.ram_bytes = vm->ram_bytes,
		.tsc_khz = vcpu_tsc_khz(vm->vcpu),
		.report_ms = report_ms,
	};
	int err;

	if (!boot.tsc_khz)
		return fail_text(-ENOTSUP,
				 "KVM_GET_TSC_KHZ: unknown frequency");
	err = vcpu_set_cpuid(vm->kvm, vm->vcpu);
	if (err)
		return err;

	memcpy(vm->ram + GUEST_BOOT_ADDR, &boot, sizeof(boot));
	memcpy(vm->ram + GUEST_LOAD_ADDR, guest_program,
	       guest_program_end - guest_program);
	return vm_boot_registers(vm);
}

static void vm_die(struct vm *vm, const char *why, uint64_t detail)
{
	pthread_mutex_lock(&vm->lock);
	vm->state = VM_DEAD;
	snprintf(vm->death, sizeof(vm->death), "%s (0x%llx)", why,
		 (unsigned long long)detail);
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

static bool parse_report(const char *line, struct guest_report *report)
{
	unsigned long long v[8];

	if (sscanf(line,
		   "report number %llu counter %llu pages %llu bad %llu backwards %llu ticks %llu gap_us %llu clock_ms %llu",
		   &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 8)
		return false;
	*report = (struct guest_report) {
		v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7],
	};
	return true;
}

static void vm_guest_line(struct vm *vm, const char *line)
{
	struct guest_report report;

	/* The guest does not wait for whoever reads its line. */
	if (dprintf(vm->output, "guest: %s\n", line) < 0)
		vm->output = -1;
	if (!parse_report(line, &report))
		return;

	pthread_mutex_lock(&vm->lock);
	vm->report = report;
	vm->reports++;
	if (report.gap_us > vm->gap_us)
		vm->gap_us = report.gap_us;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

static void vm_port_io(struct vm *vm)
{
	struct kvm_run *run = vm->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint16_t offset = run->io.port - GUEST_SERIAL_PORT;
	bool ours = run->io.port >= GUEST_SERIAL_PORT && offset < 8 &&
		    run->io.size == 1;
	uint32_t i;

	for (i = 0; i < run->io.count * run->io.size; i++) {
		if (run->io.direction == KVM_EXIT_IO_IN)
			data[i] = ours ? serial_read(&vm->serial, offset) : 0xff;
		else if (ours && serial_write(&vm->serial, offset, data[i]))
			vm_guest_line(vm, vm->serial.line);
	}
}

/* Returns false if the guest can't go on. */
static bool vm_handle_exit(struct vm *vm)
{
	struct kvm_run *run = vm->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		vm_port_io(vm);
		return true;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return true;
	case KVM_EXIT_SHUTDOWN:
		vm_die(vm, "the guest shut down by a triple fault", 0);
		return false;
	case KVM_EXIT_FAIL_ENTRY:
		vm_die(vm, "the CPU refused to enter the guest",
		       run->fail_entry.hardware_entry_failure_reason);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		vm_die(vm, "internal error of KVM", run->internal.suberror);
		return false;
	default:
		vm_die(vm, "unexpected exit of the guest", run->exit_reason);
		return false;
	}
}

/*
 * Run until a pause is wanted. Requests set immediate_exit, so that KVM_RUN
 * first completes the instruction that caused the last exit and then returns:
 * only after that may the vCPU's state be read.
 */
static bool vm_run_until_paused(struct vm *vm)
{
	for (;;) {
		if (ioctl(vm->vcpu, KVM_RUN, 0) == 0) {
			if (!vm_handle_exit(vm))
				return false;
		} else if (errno == EINTR || errno == EAGAIN) {
			if (vm->run->immediate_exit)
				return true;
		} else {
			vm_die(vm, "KVM_RUN failed", errno);
			return false;
		}
	}
}

static void *vm_thread(void *arg)
{
	struct vm *vm = arg;
	bool quit = false;

	while (!quit) {
		pthread_mutex_lock(&vm->lock);
		vm->state = VM_PAUSED;
		pthread_cond_broadcast(&vm->changed);
		while (vm->pause_wanted && !vm->quit_wanted)
			pthread_cond_wait(&vm->changed, &vm->lock);
		quit = vm->quit_wanted;
		if (!quit) {
			vm->run->immediate_exit = 0;
			vm->state = VM_RUNNING;
			pthread_cond_broadcast(&vm->changed);
		}
		pthread_mutex_unlock(&vm->lock);

		if (!quit && !vm_run_until_paused(vm))
			return NULL;
	}
	return NULL;
}

static void kick(int signal)
{
	(void)signal;
}

int vm_start_thread(struct vm *vm)
{
	struct sigaction action = { .sa_handler = kick };
	int err;

	sigaction(VCPU_KICK_SIGNAL, &action, NULL);
	vm->pause_wanted = true;
	err = -pthread_create(&vm->thread, NULL, vm_thread, vm);
	if (err)
		return fail(err, "vCPU thread");
	vm->has_thread = true;
	return 0;
}

int vm_pause(struct vm *vm)
{
	int err = 0;

	pthread_mutex_lock(&vm->lock);
	vm->pause_wanted = true;
	vm->run->immediate_exit = 1;
	pthread_kill(vm->thread, VCPU_KICK_SIGNAL);
	while (vm->state == VM_RUNNING)
		pthread_cond_wait(&vm->changed, &vm->lock);
	if (vm->state == VM_DEAD)
		err = fail_text(-EIO, "%s", vm->death);
	pthread_mutex_unlock(&vm->lock);
	return err;
}

void vm_continue(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->pause_wanted = false;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

/* Wait until `done` says so. Called and left with vm->lock held. */
static int vm_wait_locked(struct vm *vm, unsigned int seconds,
			  bool (*done)(struct vm *vm, uint64_t goal),
			  uint64_t goal)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	while (!done(vm, goal)) {
		if (vm->state == VM_DEAD)
			return fail_text(-EIO, "%s", vm->death);
		if (pthread_cond_timedwait(&vm->changed, &vm->lock, &until))
			return fail_text(-ETIMEDOUT,
					 "no report of the guest in %u s",
					 seconds);
	}
	return 0;
}

static bool reports_reached(struct vm *vm, uint64_t goal)
{
	return vm->reports >= goal;
}

static bool counter_reached(struct vm *vm, uint64_t goal)
{
	return vm->report.counter >= goal;
}

int vm_wait_reports(struct vm *vm, uint64_t count, unsigned int seconds)
{
	int err;

	pthread_mutex_lock(&vm->lock);
	err = vm_wait_locked(vm, seconds, reports_reached, count);
	pthread_mutex_unlock(&vm->lock);
	return err;
}

/* The last report is old by an unknown time, so wait for a fresh one first. */
int vm_wait_sweep(struct vm *vm, unsigned int seconds)
{
	int err;

	pthread_mutex_lock(&vm->lock);
	err = vm_wait_locked(vm, seconds, reports_reached, vm->reports + 2);
	if (!err)
		err = vm_wait_locked(vm, seconds, counter_reached,
				     vm->report.counter + vm->report.pages);
	pthread_mutex_unlock(&vm->lock);
	return err;
}

void vm_get_report(struct vm *vm, struct guest_report *report,
		   uint64_t *gap_us)
{
	pthread_mutex_lock(&vm->lock);
	*report = vm->report;
	if (gap_us)
		*gap_us = vm->gap_us;
	pthread_mutex_unlock(&vm->lock);
}
