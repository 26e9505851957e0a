#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Round trips between this kernel and mainline, which take turns; KTAP on stdout.
# With only=TEXT on the kernel's command line those scenarios that hold TEXT.
# shellcheck source=dev/guest/lib.sh disable=SC2154 # only is set by the kernel
. /guest/lib.sh

if [ -d /sys/kernel/liveupdate ]; then
	kernel=ours
	image=/other/bzImage
else
	kernel=mainline
	image=/boot/bzImage
fi
echo "# kernel $stage: $kernel $(uname -r)" >&2
exec luo_kexec --mainline --stage "$stage" --only "${only:-}" \
	--load "image=$image; . /guest/lib.sh; load_next >&2"
