#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A guest of QEMU in two kernels: an update is called off, luo-qemu is killed, and
# the guest goes on in the next kernel. The guest is the boot sector of
# tools/liveupdate/tests. TAP on stdout.
# shellcheck shell=dash source=dev/guest/lib.sh disable=SC2119,SC2154 # the kernel sets the words
. /guest/lib.sh

serial=/tmp/serial
# It finds its firmware from where it stands.
qemu=/usr/bin/qemu-system-x86_64

last() { tail -n 2 $serial | head -n 1 | cut -c1-8; }
reported() { [ "$(wc -l <$serial)" -gt "$1" ]; }

# It reports anew, and no word of its memory was ever wrong.
lives() {
	within 60 reported $(($(wc -l 2>/dev/null <$serial) + 3)) || { cat /tmp/agent $serial; return 1; }
	# It may have been saved in the middle of a line, whose end is the first line then.
	sed '$d' $serial | awk 'NR == 1 && length < 17 { next } $2 != "00000000" { print "wrong:", $0; bad = 1 }
		END { print NR, "reports, the last:", $0; exit bad }'
}

# Where the guest was when it was saved: the next kernel is told.
goes_on() {
	lives || return
	local now
	now=$((0x$(sed -n '/^.\{17\}$/{s/ .*//p;q}' $serial)))
	echo "saved at $((0x$generation)), first report $now"
	[ $now -gt $((0x$generation)) ] && [ $now -le $((0x$generation + 2)) ]
}

run() {
	# shellcheck disable=SC2086 # a word for each
	luo-qemu --qemu $qemu run vm0 -- -accel kvm -machine q35,kernel_irqchip=split -m 32 -nodefaults -display none \
		-chardev file,id=s,path=$serial,append=on -serial chardev:s \
		-drive file=/boot.img,format=raw >/tmp/agent 2>&1 &
	lives
}

resumes() {
	luo-qemu resume vm0 >/tmp/agent 2>&1 &
	goes_on
}

value() { luo-qemu status vm0 | sed -n "s/^$1 //p"; }
is_saved() { [ "$(value phase)" = saved ] && [ "$(value qemu)" = 0 ]; }

stands_still() {
	local before
	before=$(wc -l <$serial)
	sleep 1
	[ "$(wc -l <$serial)" = "$before" ]
}

# Its keeper has the guest, and gets a keeper of its own.
survives_the_leader() {
	local before
	before=$(value leader)
	kill -9 "$before"
	within 10 is_saved && [ "$(value leader)" != "$before" ]
}

has_session() { luoctl --no-header list | tr -s ' ' | grep -xF "$*"; }
has_no_session() { [ -z "$(luoctl --no-header list)" ]; }

hand_over() {
	sed "s/ generation=[0-9a-f]*//; s/\$/ generation=$(last)/" /proc/cmdline >/tmp/cmdline
	cmdline=/tmp/cmdline load_next
}

if [ "$stage" = 1 ]; then
	echo "1..13"
	ok "a guest starts" run
	ok "it is saved" luo-qemu save vm0
	ok "it stands still" stands_still
	ok "the update is called off: it goes on" luo-qemu cancel vm0
	ok "no word of its memory is wrong" lives
	ok "no session is left" has_no_session
	ok "it is saved again" luo-qemu save vm0
	ok "it survives the death of its agent" survives_the_leader
	ok "the session has its manifest, state and memory" has_session outgoing 3 luo-qemu:vm0
	hand_over || fail "kexec did not load the next kernel"
	jump
	fail "kexec did not jump"
fi
test=10
ok "the session is there" has_session incoming 3 luo-qemu:vm0
ok "the guest goes on where it was" resumes
ok "no word of its memory is wrong" lives
ok "nothing is left to finish" has_no_session
