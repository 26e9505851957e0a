#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The demo, as it runs in each kernel: a KVM guest is started, an update of the
# kernel under it is called off, the next one goes ahead, and the guest goes on
# where it was. Results are lines of "key value" on stdout.
#
# With corrupt=1 on the kernel's command line a byte of guest RAM is damaged on
# the way, and the demo must fail. guest_mib=N is the size of that RAM,
# rounds=N the number of updates.
# shellcheck shell=dash source=dev/guest/lib.sh disable=SC2119,SC2154 # the kernel sets the words
. /guest/lib.sh
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

report=/tmp/report
handlers=/lib/luo_test_handlers.ko
debugfs=/sys/kernel/debug/liveupdate_test
status=0

step() { echo "step $*"; }

# Say what is wrong in the results too, and go on: the other numbers help.
wrong() {
	echo "wrong $*"
	echo "demo: $*" >&2
	status=1
}

fail() {
	wrong "$*"
	exit 1
}

# value KEY FILE: the value of a line of results.
value() { sed -n "s/^$1 //p" "$2"; }

# ask VERB PREFIX [OPTION]...: results of the agent as PREFIX_KEY VALUE.
ask() {
	local verb=$1 prefix=$2 asked
	shift 2
	luo-vmm "$verb" "$@" >"/tmp/$prefix" 2>"/tmp/$prefix.error"
	asked=$?
	sed "s/^/${prefix}_/" "/tmp/$prefix"
	cat "/tmp/$prefix.error" >&2
	return $asked
}

# The guest checks each page of its RAM.
verify() {
	ask verify "$1" || wrong "$(cat "/tmp/$1.error")"
}

# One that has ended will not answer either.
# shellcheck disable=SC2317 # called by within
answers() { luo-vmm status || ! kill -0 "$agent"; }

wait_for_agent() {
	within 30 answers || fail "the agent does not answer"
	kill -0 "$agent" 2>/dev/null || fail "the agent has ended"
}

# An image of kexec_load() can't receive what is preserved: reboot() says so.
call_off_by_image() {
	step "an update is called off: the next kernel can't receive the guest"
	load_next -c || fail "kexec_load() did not load the next kernel"
	if ask update off_image; then
		wrong "an image that can't receive the guest was accepted"
	elif ! grep -q "Operation not supported" /tmp/off_image.error; then
		wrong "$(cat /tmp/off_image.error)"
	fi
	echo "off_image_reason $(sed 's/.*: //' /tmp/off_image.error)"
	kexec -c -u
	verify after_off_image
}

# The freeze of one file fails: the guest's files, frozen before it, are thawed.
call_off_by_freeze() {
	step "an update is called off: the freeze of a file fails"
	insmod "$handlers" || fail "$handlers does not load: see the kernel's log"
	echo "luo-test-v1 freeze 1 5" >$debugfs/fail || wrong "no failure to be had"
	load || fail "kexec_file_load() did not load the next kernel"
	if ask update off_freeze --device /dev/luo-test-v1; then
		wrong "the freeze of a file failed, and the update went ahead"
	elif ! grep -q "Input/output error" /tmp/off_freeze.error; then
		wrong "$(cat /tmp/off_freeze.error)"
	fi
	echo "off_freeze_reason $(sed 's/.*: //' /tmp/off_freeze.error)"
	verify after_off_freeze
	rmmod luo_test_handlers || wrong "the module of a file taken out is still in use"
}

# Load the next kernel. The last one needs no kernel to load in turn, and none
# needs to find out how fast the counter of a loaded machine runs.
load() {
	local initrd=/boot/initrd
	if [ "$stage" -lt "${rounds:-1}" ]; then
		initrd=/tmp/next
		(cd / && printf '%s\n' boot boot/bzImage boot/initrd | cpio -o -H newc 2>/dev/null) >$initrd
		cat /boot/initrd >>$initrd
	fi
	kexec -s -l /boot/bzImage --initrd=$initrd --command-line="$(
		sed 's/ \(stage\|tsc_early_khz\)=[0-9]*//g' /proc/cmdline
	) stage=$((stage + 1)) tsc_early_khz=$(luo-vmm status | sed -n 's/^tsc_khz //p')"
}

# Returns only if it was called off.
update() {
	step "updating the kernel under the guest"
	load || fail "kexec_file_load() did not load the next kernel"
	drain
	ask update update ${corrupt:+--corrupt}
	fail "the update was called off: $(cat /tmp/update.error)"
}

first_kernel() {
	[ -c /dev/kvm ] || fail "no /dev/kvm: this kernel or CPU offers no KVM"
	[ -c /dev/liveupdate ] || fail "no /dev/liveupdate: see the kernel's log"
	echo "boot1 $(cat /proc/sys/kernel/random/boot_id)"
	step "starting a guest"
	luo-vmm run --serial /dev/ttyS0 --memory "${guest_mib:-64}" &
	agent=$!
	wait_for_agent
	verify start
	call_off_by_image
	call_off_by_freeze
	check_kernel
	update
}

check_kernel() {
	ailing=$(healthy) || wrong "$ailing"
}

wait_for_report() {
	until [ -s $report ]; do
		kill -0 "$agent" 2>/dev/null || fail "the guest was not resumed"
		sleep 0.1
	done
}

check_report() {
	[ "$(value digest_before $report)" = "$(value digest_after $report)" ] ||
		wrong "the digest of guest RAM changed on the way"
	[ "$(value counter_after $report)" -ge "$(value counter_before $report)" ] ||
		wrong "the guest's counter went back"
	[ "$(value reports_after $report)" -gt "$(value reports_before $report)" ] ||
		wrong "the guest started anew"
	[ "$(value clock_after_ms $report)" -gt "$(value clock_before_ms $report)" ] ||
		wrong "the guest's clock went back"
}

next_kernel() {
	luo-vmm resume --serial /dev/ttyS0 --report $report --keep-going &
	agent=$!
	wait_for_report
	step "the guest runs in the new kernel, and checks its RAM"
	echo "boot2 $(cat /proc/sys/kernel/random/boot_id)"
	cat $report
	check_report
	verify after
	luoctl info | sed 's/^/luo_/'
	[ -z "$(luoctl --no-header list)" ] || wrong "a session was left behind"
	check_kernel
	[ "$status" = 0 ] || exit 1
	[ "$stage" -gt "${rounds:-1}" ] || update
	ask stop end || wrong "$(cat /tmp/end.error)"
	wait "$agent" || wrong "the agent failed"
}

if [ "$stage" = 1 ]; then first_kernel; else next_kernel; fi
exit $status
