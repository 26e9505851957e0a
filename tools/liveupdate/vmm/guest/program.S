/* SPDX-License-Identifier: GPL-2.0 */
/* The guest program as the VMM carries it. */
	.section .rodata
	.globl	guest_program
	.globl	guest_program_end
guest_program:
	.incbin	GUEST_BINARY
guest_program_end:
	.section .note.GNU-stack, "", @progbits
