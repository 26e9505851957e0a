#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Three kernels in a row, each started by the one before; TAP on stdout.
# shellcheck source=dev/guest/lib.sh disable=SC2119
. /guest/lib.sh

[ "$stage" != 1 ] || echo "1..4"
[ "$(uname -s)" = Linux ] || fail "no Linux"
if [ "$stage" = 3 ]; then
	echo "ok 3 third kernel runs"
	[ -c /dev/kvm ] || fail "no /dev/kvm"
	echo "ok 4 KVM is offered"
	exit 0
fi
echo "ok $stage kernel $stage runs"
go_on
