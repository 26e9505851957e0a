// SPDX-License-Identifier: GPL-2.0
/*
 * The guest: fills its RAM with a pattern, then goes round it for ever. On
 * each page it checks every word, gives the page a new generation and rewrites
 * it. A page that was lost, torn or replaced by an older copy of itself shows
 * up as a word that does not fit the page's generation.
 *
 * What else a live update has to carry over is checked at every report: the
 * program's own code, vector registers, a debug register, a model-specific
 * register, timer interrupts, and time that does not run backwards.
 */
#include "boot.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define WORDS		(GUEST_PAGE_SIZE / sizeof(u64))
#define STEP		0x9e3779b97f4a7c15ULL
#define FAULTS_SHOWN	8

#define TIMER_VECTOR	0x40
#define TIMER_MS	50

#define MSR_APIC_BASE		0x1b
#define MSR_APIC_BASE_X2APIC	0xc00
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_X2APIC_EOI		0x80b
#define MSR_X2APIC_SVR		0x80f
#define MSR_X2APIC_LVT_TIMER	0x832
#define LVT_TSC_DEADLINE	(2 << 17)
#define SVR_ENABLE		0x1ff
#define MSR_KERNEL_GS_BASE	0xc0000102

#define CANARY		0x00005eed0badcafeULL

struct idt_entry {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_mid;
	u32 offset_high;
	u32 reserved;
};

extern u8 guest_code_start[], guest_code_end[];
extern u8 exception_stubs[], timer_stub[];

static struct idt_entry idt[256];
static const struct guest_boot *boot;

static u32 *generations;
static u64 *pattern;
static u64 pages;
static u64 code_sum;

static u64 counter;		/* pages checked and rewritten */
static u64 bad;			/* checks that failed */
static u64 backwards;		/* times the clock ran backwards */
static u64 clock_start, clock_last, clock_gap;
static u64 reports;
static volatile u64 ticks;

static inline void outb(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)value),
		     "d"((u32)(value >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (u64)hi << 32 | lo;
}

/* The longest time between two looks at the clock is how long we stood still. */
static void clock_look(void)
{
	u64 now = rdtsc();

	if (now < clock_last)
		backwards++;
	else if (now - clock_last > clock_gap)
		clock_gap = now - clock_last;
	clock_last = now;
}

static void put_char(char c)
{
	while (!(inb(GUEST_SERIAL_PORT + 5) & 0x20))
		;
	outb(GUEST_SERIAL_PORT, c);
	clock_look();
}

static void put_string(const char *s)
{
	while (*s)
		put_char(*s++);
}

static void put_number(u64 value, u32 base)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put_char(digits[--n]);
}

static void put_value(const char *key, u64 value)
{
	put_char(' ');
	put_string(key);
	put_char(' ');
	put_number(value, 10);
}

static void put_hex(const char *key, u64 value)
{
	put_char(' ');
	put_string(key);
	put_string(" 0x");
	put_number(value, 16);
}

static void serial_init(void)
{
	outb(GUEST_SERIAL_PORT + 1, 0x00);
	outb(GUEST_SERIAL_PORT + 3, 0x80);
	outb(GUEST_SERIAL_PORT + 0, 0x01);
	outb(GUEST_SERIAL_PORT + 1, 0x00);
	outb(GUEST_SERIAL_PORT + 3, 0x03);
	outb(GUEST_SERIAL_PORT + 7, 0x5a);
}

void guest_exception(u64 vector, u64 error, u64 rip)
{
	put_string("exception");
	put_value("vector", vector);
	put_hex("error", error);
	put_hex("rip", rip);
	put_char('\n');
}

static void timer_arm(void)
{
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + boot->tsc_khz * TIMER_MS);
}

void guest_timer(void)
{
	ticks++;
	timer_arm();
	wrmsr(MSR_X2APIC_EOI, 0);
}

static void idt_set(int vector, const u8 *handler)
{
	u64 address = (u64)handler;

	idt[vector] = (struct idt_entry) {
		.offset_low = address,
		.selector = 0x08,
		.type = 0x8e,
		.offset_mid = address >> 16,
		.offset_high = address >> 32,
	};
}

static void interrupts_init(void)
{
	struct __attribute__((packed)) {
		u16 limit;
		u64 base;
	} pointer = { sizeof(idt) - 1, (u64)idt };
	int vector;

	for (vector = 0; vector < 32; vector++)
		idt_set(vector, exception_stubs + vector * 16);
	idt_set(TIMER_VECTOR, timer_stub);
	asm volatile("lidt %0" : : "m"(pointer));

	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | MSR_APIC_BASE_X2APIC);
	wrmsr(MSR_X2APIC_SVR, SVR_ENABLE);
	wrmsr(MSR_X2APIC_LVT_TIMER, LVT_TSC_DEADLINE | TIMER_VECTOR);
	timer_arm();
	asm volatile("sti");
}

/* The compiler uses general registers only, so these stay as they are. */
static void canaries_plant(void)
{
	u64 value = CANARY;

	asm volatile("movq %0, %%xmm1; movq %0, %%xmm15" : : "r"(value));
	asm volatile("mov %0, %%dr0" : : "r"(value));
	wrmsr(MSR_KERNEL_GS_BASE, value);
}

static int canaries_alive(void)
{
	u64 xmm1, xmm15, dr0;

	asm volatile("movq %%xmm1, %0; movq %%xmm15, %1"
		     : "=r"(xmm1), "=r"(xmm15));
	asm volatile("mov %%dr0, %0" : "=r"(dr0));
	return xmm1 == CANARY && xmm15 == CANARY && dr0 == CANARY &&
	       rdmsr(MSR_KERNEL_GS_BASE) == CANARY;
}

static u64 code_checksum(void)
{
	u64 sum = 0;
	u8 *p;

	for (p = guest_code_start; p < guest_code_end; p++)
		sum = (sum ^ *p) * 0x100000001b3ULL;
	return sum;
}

static u64 first_word(u64 page, u32 generation)
{
	u64 seed = (page << 32 | generation) * STEP;

	return seed ^ seed >> 29;
}

static void page_fill(u64 page)
{
	u64 *p = pattern + page * WORDS;
	u64 value = first_word(page, generations[page]);
	u64 i;

	for (i = 0; i < WORDS; i++, value += STEP)
		p[i] = value;
}

static void fault_report(u64 page, u64 word, u64 want, u64 got)
{
	put_string("fault");
	put_value("page", page);
	put_value("word", word);
	put_value("generation", generations[page]);
	put_hex("want", want);
	put_hex("got", got);
	put_char('\n');
}

static void page_check(u64 page)
{
	u64 *p = pattern + page * WORDS;
	u64 value = first_word(page, generations[page]);
	u64 i;

	for (i = 0; i < WORDS; i++, value += STEP) {
		if (p[i] == value)
			continue;
		if (bad++ < FAULTS_SHOWN)
			fault_report(page, i, value, p[i]);
		return;
	}
}

static void registers_check(void)
{
	if (code_checksum() != code_sum) {
		bad++;
		put_string("fault in the guest's code\n");
	}
	if (!canaries_alive()) {
		bad++;
		put_string("fault in the guest's registers\n");
		canaries_plant();
	}
}

static void report(void)
{
	u64 gap = clock_gap;

	clock_gap = 0;
	put_string("report");
	put_value("number", ++reports);
	put_value("counter", counter);
	put_value("pages", pages);
	put_value("bad", bad);
	put_value("backwards", backwards);
	put_value("ticks", ticks);
	put_value("gap_us", gap * 1000 / boot->tsc_khz);
	put_value("clock_ms", (clock_last - clock_start) / boot->tsc_khz);
	put_char('\n');
}

static void memory_init(void)
{
	u64 all = (boot->ram_bytes - GUEST_TABLE_ADDR) / GUEST_PAGE_SIZE;
	u64 table = (all * sizeof(u32) + GUEST_PAGE_SIZE - 1) / GUEST_PAGE_SIZE;
	u64 page;

	generations = (u32 *)GUEST_TABLE_ADDR;
	pattern = (u64 *)(GUEST_TABLE_ADDR + table * GUEST_PAGE_SIZE);
	pages = all - table;
	for (page = 0; page < pages; page++) {
		generations[page] = 1;
		page_fill(page);
		clock_look();
	}
}

void guest_main(const struct guest_boot *b)
{
	u64 page = 0, next;

	boot = b;
	serial_init();
	if (boot->magic != GUEST_BOOT_MAGIC) {
		put_string("no boot block\n");
		return;
	}
	clock_start = rdtsc();
	clock_last = clock_start;
	code_sum = code_checksum();
	canaries_plant();
	memory_init();
	interrupts_init();

	for (next = 0;; counter++) {
		page_check(page);
		generations[page]++;
		page_fill(page);
		page = page + 1 < pages ? page + 1 : 0;
		clock_look();
		if (ticks < next)
			continue;
		next = ticks + boot->report_ms / TIMER_MS;
		registers_check();
		report();
	}
}
