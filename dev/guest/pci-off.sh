#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A PCI device that is kept meets a kernel in which live update is off; KTAP on stdout,
# in three kernels, of which luo_kexec has the first and the third.
# shellcheck source=dev/guest/lib.sh
. /guest/lib.sh

device=0000:03:00.0

# shellcheck disable=SC2317 # called by ok
is_stopped() {
	dmesg | grep "$device: live update: at work without a record: bus master is off" || return
	# Bit 2 of the command.
	set -- "$(od -An -tu1 -j4 -N1 /sys/bus/pci/devices/$device/config)"
	[ $(($1 & 4)) -eq 0 ]
}

switch() { change_cmdline "s/ liveupdate=[a-z]*/ liveupdate=$1/"; }

if [ "$stage" = 2 ]; then
	test=2
	ok "stage 2: the device is stopped" is_stopped
	switch on
	go_on
fi
switch off
exec luo_kexec --stage "$stage" --only pci-off: --module /lib/luo_test_handlers.ko \
	--load '. /guest/lib.sh; cmdline=/tmp/cmdline; load_next >&2'
