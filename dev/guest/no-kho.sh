#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A session meets a kernel without handover; TAP on stdout, in two kernels.
# shellcheck source=dev/guest/lib.sh
. /guest/lib.sh
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

# shellcheck disable=SC2317 # these are called by ok
starts() {
	luo-vmm run --memory 8 --serial /dev/ttyS0 &
	within 10 luo-vmm status
}
# shellcheck disable=SC2317
says() { dmesg | grep "liveupdate: $1"; }

if [ "$stage" = 1 ]; then
	echo "1..4"
	ok "a guest starts" starts
	change_cmdline 's/ kho=on/ kho=off/'
	load_next || fail "kexec did not load the next kernel"
	drain
	luo-vmm update
	fail "the guest was not saved"
fi
test=2
ok "live update is off in the second kernel" test ! -e /dev/liveupdate
ok "its log says that the session is lost" says "the previous kernel's sessions are lost"
ok "the second kernel is healthy" healthy
