#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Five kernels in a row, each started by the one before; TAP on stdout.
# shellcheck source=dev/guest/lib.sh disable=SC2119,SC2317 # called by ok
. /guest/lib.sh

logged() { dmesg | grep -E "$1"; }

# The frequency that this kernel has for its TSC, as it logged it.
tsc_khz() {
	dmesg | sed -n 's/.*kho_clocks: TSC \([0-9]*\) kHz, as.*/\1/p
		s/.*tsc: Refined TSC .*: \([0-9]*\)\.\([0-9]*\) MHz/\1\2/p' | tail -n 1
}

# Only what was measured for good is handed over: a second after boot.
refined() { [ -n "$(tsc_khz)" ]; }

first_khz=$(sed -n 's/.*measured=\([0-9]*\).*/\1/p' /proc/cmdline)

same_tsc() { [ "$(tsc_khz)" = "$first_khz" ] && ! logged 'tsc: Refined'; }

# By how many millionths the frequency is above that of the first kernel.
tsc_error() { echo $((($(tsc_khz) - first_khz) * 1000000 / first_khz)); }

# It is so far off only because the first look was, too.
a_little_off() { [ "$(tsc_error)" -gt 650 ] && [ "$(tsc_error)" -lt 750 ]; }
measures_again() { ! logged 'kho_clocks: TSC' && within 20 refined && [ "$(tsc_error)" -lt 100 ]; }

# Of what the allocator tells the flags are enums.
names_no_enum() {
	[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing || return
	grep -l '__print_flags' /sys/kernel/tracing/events/kmem/kmalloc/format &&
		! find /sys/kernel/tracing/events -name format -exec grep -l ___GFP_ {} + | grep .
}

[ "$(uname -s)" = Linux ] || fail "no Linux"
case $stage in
1)
	echo "1..13"
	within 20 refined || fail "the TSC's frequency was not refined"
	change_cmdline "s/\$/ measured=$(tsc_khz)/"
	;;
2)
	test=2
	ok "the second kernel has the TSC's frequency from the first" same_tsc
	ok "the second kernel has the APIC timer's frequency from the first" \
		logged 'kho_clocks: .*APIC timer [1-9][0-9]* Hz'
	insmod /lib/luo_tsc_error.ko ppm=700 || fail "no module"
	change_cmdline "s/ no_timer_check//; s/\$/ tsc=nowatchdog tsc_early_khz=$((first_khz + first_khz / 2500))/"
	;;
3)
	test=5
	ok "a frequency that is a little off is taken" a_little_off
	ok "that it is off is found out" within 20 logged 'TSC freq of the previous kernel differs'
	change_cmdline "s/ tsc[^ ]*//g"
	;;
4)
	test=8
	ok "a frequency that was found to be off is not handed on" measures_again
	ok "what the third kernel saw of the timer interrupt is handed on" \
		logged 'kho_clocks: .*timer interrupt 0x8'
	insmod /lib/luo_tsc_error.ko ppm=3000 || fail "no module"
	;;
5)
	test=11
	ok "a frequency that is not that of the TSC is refused" \
		logged 'kho_clocks: the TSC does not have'
	ok "KVM is offered" [ -c /dev/kvm ]
	ok "what events print names no enum" names_no_enum
	exit 0
	;;
esac
ok "kernel $stage runs" true
go_on
