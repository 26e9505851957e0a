#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Guests of QEMU in two kernels: an update is called off, luo-qemu is killed, and
# they go on in the next kernel. One is the boot sector of tools/liveupdate/tests, the
# other is Linux and runs dev/guest/linux.sh. TAP on stdout.
# shellcheck shell=dash source=dev/guest/lib.sh disable=SC1091,SC2119,SC2154 # the kernel sets the words
. /guest/lib.sh
. /guest/told.sh

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
	# As the unit names it.
	ln -sf /bin/luo-qemu /tmp/@luo-qemu
	# shellcheck disable=SC2086 # a word for each
	PATH=/tmp:$PATH @luo-qemu --qemu $qemu run vm0 -- -accel kvm -machine q35,kernel_irqchip=split -m 32 -nodefaults -display none \
		-chardev file,id=s,path=$serial,append=on -serial chardev:s \
		-drive file=/boot.img,format=raw >/tmp/agent 2>&1 &
	lives
}

resumes() {
	luo-qemu resume vm0 >/tmp/agent 2>&1 &
	goes_on
}

lines() { tr -d '\r' 2>/dev/null </tmp/linux | grep '^line '; }
# As long as it takes to look at all of its memory.
has_lines() { [ "$(lines | wc -l)" -ge "$1" ]; }
linux_goes_on() { within 100 has_lines $(($(lines | wc -l) + 8)) || { cat /tmp/agent1 /tmp/linux; return 1; }; }

run_linux() {
	PATH=/tmp:$PATH @luo-qemu --qemu $qemu run linux -- -accel kvm -machine q35,kernel_irqchip=split -m 128 -nodefaults \
		-display none -chardev file,id=s,path=/tmp/linux,append=on -serial chardev:s -kernel /boot/bzImage \
		-initrd /linux.img -append "console=ttyS0 quiet no_timer_check chunks=4" >/tmp/agent1 2>&1 &
	linux_goes_on
}

linux_is_right() {
	linux_goes_on && lines | judge "$linux" "$(luo-qemu status linux | sed -n 's/^still_ms //p')"
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

# dry_run TEXT...: luoctl would not update a host with systemd, and says these lines.
dry_run() {
	mkdir -p /run/systemd/system
	luoctl --dry-run update /boot/bzImage >/tmp/said 2>&1
	local status=$? text
	rmdir /run/systemd/system
	cat /tmp/said
	[ $status = $(($# > 0)) ] || return
	for text; do grep -q "^luoctl: update: $text" /tmp/said || return; done
}

# A guest whose agent nobody spares, running and saved.
names_who_would_end() {
	local agent status
	luo-qemu --qemu $qemu run vm1 -- -accel kvm -machine q35,kernel_irqchip=split -m 16 -nodefaults -display none -S &
	agent=$!
	within 60 luo-qemu status vm1 &&
		dry_run "vm1: the guest would end with the services: start it as luo-qemu@vm1.service" &&
		luo-qemu save vm1 &&
		dry_run "vm1: the guest would end" "luo-qemu:vm1: held by luo-qemu, process [0-9]*, which ends with the services"
	status=$?
	luo-qemu cancel vm1
	kill $agent
	wait $agent
	return $status
}

# By luoctl update, which jumps by itself without systemd.
update() {
	(cd / && printf '%s\n' boot boot/bzImage boot/initrd | cpio -o -H newc 2>/dev/null) >/tmp/next
	cat /boot/initrd >>/tmp/next
	drain
	luoctl update /boot/bzImage -- --initrd=/tmp/next \
		--command-line="$(sed "s/ stage=[0-9]*//; s/ generation=[0-9a-f]*//; s/ linux=[^ ]*//" /proc/cmdline) stage=2 generation=$(last) linux=$(lines | judge | tail -n 1)"
}

tells_how_it_went() {
	luoctl status && luoctl --json status >/tmp/status || return
	grep -q '^{"number": 1, "phases": .*"left": \[\], "guests": \[{[^}]*}, {[^}]*}\]}$' /tmp/status &&
		grep -q '{"name": "vm0", "phase": "running", "still_ms": [0-9]*}' /tmp/status &&
		grep -q '{"name": "linux", "phase": "running", "still_ms": [0-9]*}' /tmp/status
}

if [ "$stage" = 1 ]; then
	echo "1..18"
	ok "a guest starts" run
	ok "it is saved" luo-qemu save vm0
	ok "it stands still" stands_still
	ok "the update is called off: it goes on" luo-qemu cancel vm0
	ok "no word of its memory is wrong" lives
	ok "no session is left" has_no_session
	ok "who would end with the services is named" names_who_would_end
	ok "a Linux guest starts" run_linux
	ok "the first guest is saved again" luo-qemu save vm0
	ok "it survives the death of its agent" survives_the_leader
	ok "the session has its manifest, state and memory" has_session outgoing 3 luo-qemu:vm0
	ok "nothing is in the way of an update" dry_run
	update >&2
	fail "luoctl did not jump"
fi
# As early as can be, as its unit does it.
luo-qemu resume linux >/tmp/agent1 2>&1 &
test=13
ok "the session is there" within 10 has_session incoming 3 luo-qemu:vm0
ok "the guest goes on where it was" resumes
ok "no word of its memory is wrong" lives
ok "memory, uptime, clock and sleeps of the Linux guest are right" linux_is_right
ok "nothing is left to finish" has_no_session
ok "the status tells how it went" tells_how_it_went
