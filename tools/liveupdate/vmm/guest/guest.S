/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Start of the guest program: flat 32-bit protected mode to long mode with the
 * first 4 GiB mapped one to one, then guest_main(). %ebx is GUEST_BOOT_ADDR.
 */
#include "boot.h"

#define CR0_PG		0x80000000
#define CR4_PAE_FXSR	0x00000620	/* PAE, OSFXSR, OSXMMEXCPT */
#define MSR_EFER	0xc0000080
#define EFER_LME_NXE	0x00000900
#define PTE_TABLE	0x003		/* present, writable */
#define PTE_2M		0x083		/* and a 2 MiB page */

	.section .text.start, "ax"
	.code32
	.globl	guest_start
guest_start:
	movl	$pdpt + PTE_TABLE, pml4
	movl	$pd, %edi
	movl	$4, %ecx
	movl	$pdpt, %esi
	movl	$pd + PTE_TABLE, %eax
1:	movl	%eax, (%esi)
	addl	$4096, %eax
	addl	$8, %esi
	loop	1b

	movl	$2048, %ecx
	movl	$PTE_2M, %eax
2:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	2b

	movl	$CR4_PAE_FXSR, %eax
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME_NXE, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PG, %eax
	andl	$~0x4, %eax		/* no x87 emulation */
	orl	$0x2, %eax		/* monitor coprocessor */
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$0x08, $long_mode

	.code64
long_mode:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	leaq	stack_top(%rip), %rsp
	movl	%ebx, %edi
	call	guest_main
3:	hlt
	jmp	3b

	.text
/* An exception is a fault of the guest or of its VMM: say so and stop. */
	.globl	exception_stubs
	.balign	16
exception_stubs:
	vector = 0
	.rept	32
	.balign	16
	.if	vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	.else
	pushq	$0
	.endif
	pushq	$vector
	jmp	exception_common
	vector = vector + 1
	.endr

exception_common:
	popq	%rdi
	popq	%rsi
	popq	%rdx
	andq	$-16, %rsp
	call	guest_exception
4:	hlt
	jmp	4b

	.globl	timer_stub
timer_stub:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	cld
	call	guest_timer
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

	.section .rodata
	.balign	8
gdt:	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
gdt_end:
	.balign	4
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	.bss
	.balign	4096
pml4:	.skip	4096
pdpt:	.skip	4096
pd:	.skip	4 * 4096
stack:	.skip	16384
stack_top:

	.section .note.GNU-stack, "", @progbits
