/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A boot sector that goes round its memory for ever: each word is to hold the
 * generation before, and gets the new one. After each pass it writes a line to
 * the serial port: the generation and how many words were wrong, in hex.
 */
	.code16
	.globl	_start
_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ss
	movw	$0x7c00, %sp
	xorl	%ebx, %ebx		/* generation */
	xorl	%ebp, %ebp		/* wrong words */
pass:
	incl	%ebx
	movw	$0x1000, %ax
segment:
	movw	%ax, %es
	xorw	%di, %di
word:
	movl	%es:(%di), %ecx
	incl	%ecx
	cmpl	%ecx, %ebx
	je	right
	cmpl	$1, %ebx
	je	right
	incl	%ebp
right:
	movl	%ebx, %es:(%di)
	addw	$4, %di
	jnz	word
	addw	$0x1000, %ax
	cmpw	$0x8000, %ax
	jb	segment

	movl	%ebx, %ecx
	call	number
	movb	$' ', %al
	call	put
	movl	%ebp, %ecx
	call	number
	movb	$'\n', %al
	call	put
	jmp	pass

/* %ecx in eight digits. */
number:
	movw	$8, %si
digit:
	roll	$4, %ecx
	movb	%cl, %al
	andb	$15, %al
	addb	$'0', %al
	cmpb	$'9', %al
	jbe	decimal
	addb	$'a' - '9' - 1, %al
decimal:
	call	put
	decw	%si
	jnz	digit
	ret

put:
	movb	%al, %ah
	movw	$0x3fd, %dx
busy:
	inb	%dx, %al
	testb	$0x20, %al
	jz	busy
	movb	%ah, %al
	movw	$0x3f8, %dx
	outb	%al, %dx
	ret

	.org	510
	.word	0xaa55
