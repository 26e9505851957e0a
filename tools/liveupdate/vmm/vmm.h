/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VMM_H
#define VMM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "cli.h"
#include "guest/boot.h"
#include "libliveupdate.h"

#define MIB		(1ULL << 20)
#define RAM_MIN		(4 * MIB)
#define RAM_MAX		(3072 * MIB)	/* below the local APIC */
#define RAM_DEFAULT	(64 * MIB)

#define VCPU_MSRS_MAX	64
#define VCPU_CPUID_MAX	128
#define VCPU_XSAVE_MAX	16384
#define SERIAL_LINE_MAX	240

/*
 * Keep the message for whoever reports the failure, and return err. fail()
 * adds the text of err to it.
 */
int fail(int err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int fail_text(int err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
const char *fail_message(void);

/* A 16550 whose transmitter is always empty and which has nothing to receive. */
struct serial_state {
	uint8_t ier;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t scratch;
	uint8_t divisor[2];
	uint16_t line_length;
	char line[SERIAL_LINE_MAX];	/* what the guest said since its last newline */
};

/* Returns true if this completed a line: it is in serial->line until the next. */
bool serial_write(struct serial_state *serial, uint16_t offset, uint8_t value);
uint8_t serial_read(struct serial_state *serial, uint16_t offset);

/* A vCPU between two instructions. Part of the state that is handed over. */
struct vcpu_state {
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	uint32_t msr_count;
	uint32_t cpuid_count;
	uint32_t tsc_khz;
	uint32_t reserved;
	uint64_t tsc_offset;
	uint64_t tsc_guest;
	uint64_t tsc_host;
	struct kvm_msr_entry msrs[VCPU_MSRS_MAX];
	struct kvm_cpuid_entry2 cpuid[VCPU_CPUID_MAX];
	uint8_t xsave[VCPU_XSAVE_MAX];
};

/* What the guest says about itself, once per line that starts with "report". */
struct guest_report {
	uint64_t number;
	uint64_t counter;
	uint64_t pages;
	uint64_t bad;
	uint64_t backwards;
	uint64_t ticks;
	uint64_t gap_us;
	uint64_t clock_ms;
};

enum vm_state {
	VM_PAUSED,
	VM_RUNNING,
	VM_DEAD,
};

struct vm {
	int kvm;
	int fd;
	int vcpu;
	struct kvm_run *run;
	size_t run_size;

	int ram_fd;
	uint8_t *ram;
	uint64_t ram_bytes;

	int output;
	struct serial_state serial;	/* the vCPU thread's, ours while paused */

	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under lock. */
	enum vm_state state;
	bool pause_wanted;
	bool quit_wanted;
	uint64_t reports;		/* since the vCPU thread started */
	uint64_t gap_us;		/* longest the guest saw since then */
	struct guest_report report;
	char death[160];
};

extern const uint8_t guest_program[], guest_program_end[];

/* Memory of a guest: sealed against resizing, allocated in full. */
int ram_create(uint64_t bytes);
bool ram_is_sealed(int fd);

/* A VM on the RAM in ram_fd, which it then owns; its vCPU has no state yet. */
int vm_create(struct vm *vm, int ram_fd);
/* Everything vm_create() made; the RAM's fd only if keep_ram is not set. */
void vm_destroy(struct vm *vm, bool keep_ram);
/* Load the guest program and point the vCPU at its start. */
int vm_boot(struct vm *vm, unsigned int report_ms);
int vm_start_thread(struct vm *vm);
int vm_pause(struct vm *vm);
void vm_continue(struct vm *vm);
/* Wait for `count` reports more than there were when the vCPU was started. */
int vm_wait_reports(struct vm *vm, uint64_t count, unsigned int seconds);
/* Wait until the guest has checked each of its pages from now on. */
int vm_wait_sweep(struct vm *vm, unsigned int seconds);
void vm_get_report(struct vm *vm, struct guest_report *report,
		   uint64_t *gap_us);

int vcpu_set_cpuid(int kvm, int vcpu);
int vcpu_save(int kvm, int vcpu, struct vcpu_state *state);
int vcpu_restore(int vcpu, const struct vcpu_state *state);
uint32_t vcpu_tsc_khz(int vcpu);

/*
 * Moments of a stand-still, as values of the host's time-stamp counter, which
 * keeps counting through the jump. The first ones travel with the state.
 */
enum moment {
	MOMENT_PAUSE,		/* the pause is asked for */
	MOMENT_PAUSED,
	MOMENT_SAVED,
	MOMENT_REBOOT,		/* reboot() is called */
	MOMENT_SAVED_COUNT,
	MOMENT_FROZEN = MOMENT_SAVED_COUNT,
	MOMENT_ENTRY,		/* the new kernel runs */
	MOMENT_USERSPACE,	/* the first program runs */
	MOMENT_AGENT,		/* the agent runs */
	MOMENT_RETRIEVED,
	MOMENT_DIGESTED,
	MOMENT_RUN,		/* the vCPU is entered */
	MOMENT_COUNT,
};

#define IMAGE_MAGIC	0x6d6d762d6f756cULL
#define IMAGE_VERSION	1

/* The whole content of the state memfd. */
struct image {
	uint64_t magic;
	uint32_t version;
	uint32_t size;
	uint64_t sum;			/* of all that follows */
	uint64_t ram_bytes;
	uint64_t ram_digest;
	uint32_t has_digest;
	uint32_t updates;		/* this guest has lived through */
	uint64_t moments[MOMENT_SAVED_COUNT];
	struct guest_report report;	/* the last one before the pause */
	struct serial_state serial;
	struct vcpu_state vcpu;
};

/* Returns the fd of an empty image. */
int image_create(struct image **image);
int image_map(int fd, struct image **image);
void image_unmap(struct image *image);
void image_save_meta(struct image *image, struct vm *vm, bool with_digest);
int image_save_vcpu(struct image *image, struct vm *vm);
/* Call once all fields are written. */
void image_seal(struct image *image);
/* Once the guest runs, its RAM and this state no longer fit each other. */
void image_spoil(struct image *image);
int image_verify(const struct image *image);
int image_restore(const struct image *image, struct vm *vm);

uint64_t digest(const void *data, size_t bytes);
uint64_t tsc_now(void);

struct options {
	const char *verb;
	const char *name;
	char shown_name[ESCAPED(LIVEUPDATE_SESSION_NAME_LENGTH)];
	const char *socket;
	const char *serial;
	const char *report;
	const char *device;
	uint64_t memory;
	unsigned int report_ms;
	unsigned int timeout;
	bool no_digest;
	bool keep_going;
	bool corrupt;
};

/* Files of a guest in its session. */
enum token {
	TOKEN_RAM = 1,
	TOKEN_STATE = 2,
	TOKEN_DEVICE = 3,
};

struct agent {
	const struct options *options;
	struct vm vm;
	struct image *image;
	int image_fd;
	int session;			/* outgoing, or -1 */
	int listener;			/* the control socket, or -1 */
	uint32_t updates;
};

/* An agent that has nothing yet. */
#define AGENT_INIT(_options) \
	{ .options = (_options), .image_fd = -1, .session = -1, .listener = -1 }

/* The guest's serial line is line-wise output to a file, or stdout. */
int agent_open_serial(struct agent *agent);
/* Returns the fd of /dev/liveupdate. */
int agent_open_device(void);
/* Make the control socket: clients wait until they are served. */
int agent_listen(struct agent *agent);
/* Serve the control socket until the guest is stopped. */
int agent_serve(struct agent *agent);
/* Remove the control socket, if there is one. */
void agent_close(struct agent *agent);
/* Ask an agent to do what the verb says; its answer goes to stdout. */
int agent_ask(const struct options *options);

struct update {
	const char *device;	/* one more file to preserve, or NULL */
	bool corrupt;		/* damage guest RAM once its digest is taken */
	uint64_t still_us;	/* how long the guest stood still, out */
};

/*
 * Does not return if the update goes ahead. If it is called off the guest
 * runs on.
 */
int agent_update(struct agent *agent, struct update *update);
/* Damage a page that the guest is not about to rewrite. */
void corrupt_ram(struct vm *vm);

/* Fill in the moments between reboot() and MOMENT_AGENT, which nobody noted. */
void add_moments(uint64_t moments[MOMENT_COUNT], uint32_t tsc_khz);
void report_standstill(FILE *out, const uint64_t moments[MOMENT_COUNT],
		       uint32_t tsc_khz);
uint64_t ticks_to_us(uint64_t ticks, uint32_t tsc_khz);

int verb_run(const struct options *options);
int verb_resume(const struct options *options);
int verb_selftest(const struct options *options);

#endif /* VMM_H */
