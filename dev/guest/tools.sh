#!/bin/sh
# luoctl and the VM agent in two kernels: two guests are preserved, one of them
# is never claimed by its agent. TAP on stdout.
# shellcheck shell=dash source=dev/guest/lib.sh disable=SC2119
. /guest/lib.sh

# fails CODE TEXT COMMAND...: the command fails with the code and a line of error
# that holds TEXT.
fails() {
	local code=$1 text=$2
	shift 2
	"$@" 2>/tmp/failed
	local got=$?
	cat /tmp/failed
	[ $got = "$code" ] && grep -qF -- "$text" /tmp/failed &&
		[ "$(wc -l </tmp/failed)" = 1 ]
}

# lists STATE FILES NAME: luoctl shows this session.
lists() { luoctl --no-header list | tr -s ' ' | grep -xF "$*" || { luoctl list; false; }; }
lists_nothing() { [ -z "$(luoctl --no-header list)" ]; }
lists_two_files() { [ "$(luoctl --no-header list "$1" | grep -c ' [12]  memfd')" = 2 ]; }
shows() { luoctl info | grep -xF "$*" || { luoctl info; false; }; }
agent() {
	local verb=$1 name=$2
	shift 2
	luo-vmm "$verb" --name "$name" --socket "/tmp/$name.sock" "$@"
}

start() {
	agent "$@" --memory 8 --serial /dev/ttyS0 &
	local tries=0
	until agent status "$2" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || return 1
		sleep 0.1
	done
}

update_called_off() {
	agent update "$1" >/tmp/update 2>&1 && return 1
	cat /tmp/update
	grep -q "Operation not supported" /tmp/update
}

goes_back_half_way() {
	fails 1 "no state to resume" agent resume vm1 &&
		lists incoming 2 vm1
}

# A kernel of an older format, for luoctl at least.
make_old_image() { printf '\177ELF Linux version 6.18 \0kho-v1\0' >/tmp/old; }
loaded() { [ "$(cat /sys/kernel/kexec_loaded)" = 1 ]; }
loads() { luoctl load /boot/bzImage -- --reuse-cmdline && loaded; }
loads_nothing_else() { fails 1 "kernel that can't read kho-v4" luoctl load /tmp/old && loaded; }

first_kernel() {
	echo "1..29"
	ok "a wrong verb is a usage error" fails 2 "unknown verb \`x'" luoctl x
	ok "a missing name is a usage error" fails 2 "finish" luoctl finish
	ok "a surplus word is a usage error" fails 2 "unexpected argument \`x'" luoctl info x
	ok "the agent refuses a wrong verb" fails 2 "unknown verb \`x'" luo-vmm x
	ok "nothing came from a cold boot" lists_nothing
	ok "the state is normal after a cold boot" test "$(luoctl state)" = normal
	ok "an unknown session can't be listed" \
		fails 1 "luoctl: list: x: No such file or directory" luoctl list x
	ok "an unknown session can't be finished" \
		fails 1 "luoctl: finish: x: No such file or directory" luoctl finish x
	ok "a guest moves into another VM" luo-vmm selftest --memory 8
	ok "a damaged page is noticed" fails_selftest
	ok "a guest starts" start run vm0
	ok "another guest starts" start run vm1
	ok "no update without a loaded kernel" \
		fails 1 "no kernel is loaded" agent update vm0
	make_old_image
	ok "a kernel that would lose the sessions is not loaded" \
		fails 1 "luoctl: load: /tmp/old: a kernel that can't read kho-v4" luoctl load /tmp/old
	ok "one that takes them over is" loads
	ok "it stays loaded when another is not" loads_nothing_else
	load_next -c || fail "kexec -c did not load the next kernel"
	ok "the update is called off for vm0" update_called_off vm0
	ok "the update is called off for vm1" update_called_off vm1
	ok "the session of vm0 stays" lists outgoing 2 vm0
	ok "outgoing sessions are counted" shows outgoing-sessions 2
	ok "files of an outgoing session are its owner's" \
		fails 1 "luoctl: list: vm0: outgoing" luoctl list vm0
	kexec -c -u
	load_next || fail "kexec did not load the next kernel"
	drain
	agent update vm0
	fail "the update was called off"
}

fails_selftest() { ! luo-vmm selftest --memory 8 --corrupt; }

second_kernel() {
	test=22
	ok "looking at a session leaves it where it is" \
		eval "lists_two_files vm0 && lists_two_files vm0 && lists incoming 2 vm0"
	ok "the state is updated" test "$(luoctl state)" = updated
	ok "the guest goes on" start resume vm0 --report /dev/null
	ok "it checks all of its RAM" agent verify vm0
	ok "an agent that fails half way loses nothing" goes_back_half_way
	ok "a session nobody claims is finished by hand" luoctl finish vm1
	ok "nothing is left" lists_nothing
	ok "the state is normal again" test "$(luoctl state)" = normal
	agent stop vm0 >/dev/null
}

if [ "$stage" = 1 ]; then first_kernel; else second_kernel; fi
