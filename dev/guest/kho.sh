#!/bin/sh
# The base's own test of kexec handover, three kernels in a row; TAP on stdout.
# shellcheck source=dev/guest/lib.sh disable=SC2119
. /guest/lib.sh
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

n=$(((stage - 1) * 2))
ok() {
	n=$((n + 1))
	name=$1
	shift
	if "$@"; then echo "ok $n $name"; else echo "not ok $n $name"; fi
}
# shellcheck disable=SC2317 # these are called by ok
said() { dmesg | grep -q "$1"; }
# shellcheck disable=SC2317
nothing_said() { ! said 'KHO restore'; }
# shellcheck disable=SC2317
restored() { said 'KHO restore succeeded'; }

[ "$stage" != 1 ] || echo "1..6"
if [ "$stage" = 1 ]; then
	ok "kernel 1 finds nothing" nothing_said
else
	ok "kernel $stage restores what kernel $((stage - 1)) left" restored
fi
ok "kernel $stage is healthy" healthy
[ "$stage" != 3 ] || exit 0
load_next || fail "kexec did not load the next kernel"
jump
fail "kexec did not jump"
