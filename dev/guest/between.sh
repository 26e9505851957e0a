#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A session goes through a kernel in which live update is off, or can't start with
# fail_start= on the kernel's command line; TAP on stdout, in three kernels.
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
# Returns only from a jump that was refused.
# shellcheck disable=SC2317
refused() { load_next -c && ! jump; }
# shellcheck disable=SC2317
is_incoming() { luoctl --no-header list | grep '^incoming '; }

case $stage in
1)
	echo "1..8"
	ok "a guest starts" starts
	switch=off
	;;
2)
	test=2
	ok "live update is off in the second kernel" test ! -e /dev/liveupdate
	ok "an image that can't receive the session is refused" refused
	ok "the second kernel is healthy" healthy
	switch=on
	;;
3)
	test=5
	ok "the session is back in the third" is_incoming
	ok "two live updates are counted" eval "luoctl info | grep -x 'number 2'"
	ok "it can be finished" luoctl finish vm0
	ok "the third kernel is healthy" healthy
	exit
	;;
esac
# shellcheck disable=SC2154 # set by the kernel
if [ -z "$fail_start" ]; then
	change="liveupdate=$switch"
elif [ "$switch" = off ]; then
	change="luo_early.fail_start=1"
else
	change="luo_early.fail_start=0"
fi
change_cmdline "s/ ${change%=*}=[a-z0-9]*/ $change/"
[ "$stage" != 1 ] || {
	load_next || fail "kexec did not load the next kernel"
	drain
	luo-vmm update
	fail "the guest was not saved"
}
go_on
