#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
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

# A name that looks like a session and a file in debugfs, and how it is shown.
odd='vm1
 token 1 p evil-v9 bytes '
shown='vm1\n token 1 p evil-v9 bytes '

agent() {
	local verb=$1 name=$2
	shift 2
	luo-vmm "$verb" --name "$name" --socket "$(socket_of "$name")" "$@"
}

agent_names() { agent status "$odd" | grep -xF "name $1"; }
socket_of() { echo "/tmp/$(echo "$1" | head -n 1).sock"; }
# What an agent says, the last thing being why it ended.
stderr_of() { echo "$(socket_of "$1").stderr"; }

# request TEXT: what the agent of vm0 answers.
# shellcheck disable=SC2016 # the variables are perl's
request() {
	timeout 20 perl -e 'socket(S, 1, 1, 0) && connect(S, pack("S a108", 1, $ARGV[0])) or die "$!";
		syswrite(S, $ARGV[1]); print <S>;' /tmp/vm0.sock "$1"
}

# answers TEXT REQUEST
answers() {
	request "$2" >/tmp/answer
	cat /tmp/answer
	grep -qxF -- "$1" /tmp/answer
}

refuses_requests() {
	answers "error unknown request \`x'" "x
" && answers "error unknown word \`x'" "update x corrupt
" && answers "error status: unexpected \`x'" "status x
" && answers "error a request of more than 4160 bytes" "$(head -c 5000 /dev/zero | tr '\0' x)"
}

# Neither a client that says nothing nor one that stops half way keeps others out.
serves_others() {
	answers "error no request within 2 seconds" "" &&
		answers "error no request within 2 seconds" stop &&
		agent status vm0
}

start() {
	agent "$@" --memory 8 --serial /dev/ttyS0 2>"$(stderr_of "$2")" &
	within 10 agent status "$2" || { cat "$(stderr_of "$2")"; return 1; }
}

update_called_off() {
	agent update "$1" >/tmp/update 2>&1 && return 1
	cat /tmp/update "$(stderr_of "$1")"
	grep -q "Operation not supported" /tmp/update
}

goes_back_half_way() {
	fails 1 "no state to resume" agent resume "$odd" &&
		lists incoming 2 "$shown"
}

# not_resumed PATH OPTION...: nothing happens to vm0 if PATH can't be made.
not_resumed() {
	local path=$1
	shift
	fails 1 "luo-vmm: resume: $path: No such file or directory" luo-vmm resume --name vm0 "$@" &&
		lists incoming 2 vm0
}

# The agent waits for a reader of its serial line, and has the session.
names_the_holder() {
	local agent status
	mkfifo /tmp/fifo
	luo-vmm resume --name vm0 --socket /tmp/waits.sock --serial /tmp/fifo &
	agent=$!
	within 10 grep "^session vm0 retrieved " /sys/kernel/debug/liveupdate/sessions || return
	fails 1 "luoctl: list: vm0: held by its agent: luo-vmm, process $agent, end that one first" luoctl list vm0 &&
		fails 1 "luoctl: finish: vm0: held by its agent" luoctl finish vm0
	status=$?
	kill $agent
	wait $agent
	lists incoming 2 vm0 && return $status
}

warns_of_report() {
	cat "$(stderr_of vm0)"
	[ "$(cat "$(stderr_of vm0)")" = "luo-vmm: resume: warning: no report: /dev/full: No space left on device" ]
}

# warns TEXT COMMAND...: the command succeeds, with a line of warning.
warns() { fails 0 "$@"; }

warns_without_debugfs() {
	umount /sys/kernel/debug &&
		warns "warning: formats of 4 files are not known (No such file or directory): mount debugfs" \
			luoctl check /boot/bzImage
	local status=$?
	mount -t debugfs debugfs /sys/kernel/debug && return $status
}

checks_silently() { luoctl check /boot/bzImage 2>/tmp/warned && warns_of_nothing; }
warns_of_nothing() { cat /tmp/warned && [ ! -s /tmp/warned ]; }

# An image that has our formats, but is none that can be loaded.
kexec_fails() {
	printf '\177ELF Linux version 6.18 \0liveupdate-reads: kho-v4 luo-v5 memfd-v2\0' >/tmp/unloadable
	luoctl load /tmp/unloadable 2>/tmp/failed
	[ $? = 1 ] && grep -qxF "luoctl: load: /tmp/unloadable: kexec failed with exit code 255" /tmp/failed
}

names_who_has_the_device() {
	(exec sleep 100 <>/dev/liveupdate) &
	local holder=$!
	within 10 grep -qx sleep "/proc/$holder/comm"
	fails 1 "luoctl: list: /dev/liveupdate: Device or resource busy: held by sleep, process $holder" luoctl list
	local status=$?
	kill $holder
	wait $holder
	return $status
}

# prints TEXT WORD...: luoctl prints this line.
prints() {
	local text=$1
	shift
	luoctl "$@" | tee /tmp/printed
	grep -qxF -- "$text" /tmp/printed
}

knows_itself() {
	luoctl --version | grep -qx "luoctl [0-9]*[.][0-9]*[.][0-9]*" && luoctl help | grep -q "^Usage: luoctl" &&
		luoctl help finish | grep -q "^  finish *NAME" && fails 2 "unknown verb \`x'" luoctl help x
}

refuses_what_a_verb_has_not() {
	fails 2 "no --json for \`load'" luoctl --json load /boot/bzImage &&
		fails 2 "no --dry-run for \`list'" luoctl --dry-run list
}

# Each phase and their sum.
shows_phases() {
	luoctl blackout && luoctl --no-header blackout | grep -q "^total  *[0-9]*[.][0-9][0-9][0-9]$" &&
		luoctl --json blackout | grep -q '"phases": \[{"name": "freeze", "ns": [0-9]*}, {"name": "jump", "ns": [0-9]*}.*"total_ns": [0-9]*}$'
}

names_the_remedy() {
	mv /dev/liveupdate /dev/absent
	fails 1 "No such file or directory: boot a kernel that has it with kho=on liveupdate=on" luoctl list &&
		fails 1 "with kho=on liveupdate=on" luo-vmm resume
	local status=$?
	mv /dev/absent /dev/liveupdate
	return $status
}

# full PROGRAM WORD...: the program fails as its output is not taken.
full() { fails 1 "stdout: No space left on device" eval "$* >/dev/full"; }
notices_full_disk() {
	full luoctl info && full luoctl list && full luoctl state && full luoctl --help && full luoctl --json info &&
		full luoctl check /boot/bzImage kho-v4 && full luo-vmm --help
}

names_bad_options() {
	fails 2 "luoctl: unknown option \`--x', try luoctl --help" luoctl list --x &&
		fails 2 "luoctl: unknown option \`-x', try luoctl --help" luoctl -x list &&
		fails 2 "luoctl: no value is expected in \`--help=x', try luoctl --help" luoctl --help=x &&
		fails 2 "luo-vmm: unknown option \`--x', try luo-vmm --help" luo-vmm run --x &&
		fails 2 "luo-vmm: a value is missing behind \`--memory', try luo-vmm --help" luo-vmm run --memory
}

names_bad_values() {
	fails 2 "luo-vmm: --memory takes 4 to 3072 MiB, not \`1', try luo-vmm --help" luo-vmm --memory 1 run &&
		fails 2 "luo-vmm: --timeout takes 1 to 86400 seconds, not \`x'" luo-vmm --timeout x run
}

# A kernel of an older format, for luoctl at least.
make_old_image() { printf '\177ELF Linux version 6.18 \0kho-v1\0' >/tmp/old; }
loaded() { [ "$(cat /sys/kernel/kexec_loaded)" = 1 ]; }
loads() { luoctl load /boot/bzImage -- --reuse-cmdline && loaded; }
loads_nothing_else() { fails 1 "kernel that can't read kho-v4" luoctl load /tmp/old && loaded; }

first_kernel() {
	echo "1..59"
	ok "a wrong verb is a usage error" fails 2 "unknown verb \`x'" luoctl x
	ok "a missing name is a usage error" fails 2 "finish" luoctl finish
	ok "a surplus word is a usage error" fails 2 "unexpected argument \`x'" luoctl info x
	ok "the agent refuses a wrong verb" fails 2 "unknown verb \`x'" luo-vmm x
	ok "a wrong option is named" names_bad_options
	ok "a wrong value is named with its option and range" names_bad_values
	ok "options of kexec belong behind --" \
		fails 2 "unknown option \`-s', put options for kexec behind \`--'" luoctl load /boot/bzImage -s
	ok "output that is not taken is a failure" notices_full_disk
	ok "without the device there is a remedy" names_the_remedy
	ok "who has the device open is named" names_who_has_the_device
	ok "luoctl tells its version and its verbs" knows_itself
	ok "an option is refused where it means nothing" refuses_what_a_verb_has_not
	ok "features have names" shows features list unpreserve-fd keep-on-close abandon claim-session
	ok "a cold boot has no phases" fails 1 "no times: this kernel was not started by a live update" luoctl blackout
	ok "nothing came from a cold boot" lists_nothing
	ok "the state is normal after a cold boot" test "$(luoctl state)" = normal
	ok "an unknown session can't be listed" \
		fails 1 "luoctl: list: x: No such file or directory" luoctl list x
	ok "an unknown session can't be finished" \
		fails 1 "luoctl: finish: x: No such file or directory" luoctl finish x
	ok "a guest moves into another VM" luo-vmm selftest --memory 8
	ok "a damaged page is noticed" fails_selftest
	ok "a guest starts" start run vm0
	ok "another guest starts" start run "$odd"
	ok "a socket that is served is not taken over" \
		fails 1 "luo-vmm: run: /tmp/vm0.sock: an agent serves it" \
		timeout 30 luo-vmm run --socket /tmp/vm0.sock --serial /dev/null
	ok "a wrong request is refused" refuses_requests
	ok "a client without a request keeps nobody out" serves_others
	ok "no update without a loaded kernel" \
		fails 1 "no kernel is loaded" agent update vm0
	make_old_image
	ok "a kernel that would lose the sessions is not loaded" \
		fails 1 "luoctl: load: /tmp/old: a kernel that can't read kho-v4" luoctl load /tmp/old
	ok "that kexec fails is a failure of luoctl" kexec_fails
	ok "one that takes them over is" loads
	ok "it stays loaded when another is not" loads_nothing_else
	ok "the path of a device may have blanks" \
		fails 1 "luo-vmm: update: /tmp/a b: No such file or directory" agent update vm0 --device "/tmp/a b"
	load_next -c || fail "kexec -c did not load the next kernel"
	ok "the update is called off for vm0" update_called_off vm0
	ok "the update is called off for vm1" update_called_off "$odd"
	ok "the session of vm0 stays" lists outgoing 2 vm0
	ok "a name is one line of a list" lists outgoing 2 "$shown"
	ok "a name is one line of the agent's answer" agent_names "$shown"
	ok "a name is not taken for a file" checks_silently
	ok "files that the kernel can't name are warned of" warns_without_debugfs
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

incoming_memfd() { echo "{\"token\": $1, \"state\": \"incoming\", \"handler\": \"memfd-v2\", \"waiting_mib\": 0}"; }

second_kernel() {
	test=41
	ok "files of incoming sessions are warned of" \
		warns "warning: formats of 4 files are not known (their sessions were never retrieved)" \
		luoctl check /boot/bzImage
	ok "looking at a session leaves it where it is" \
		eval "lists_two_files vm0 && lists_two_files vm0 && lists incoming 2 vm0"
	ok "any name can be looked at" lists_two_files "$odd"
	ok "files that were looked at are known" checks_silently
	ok "the phases of the update are shown" shows_phases
	ok "sessions are listed as JSON" \
		prints '{"sessions": [{"name": "vm0", "state": "incoming", "files": 2}, {"name": "vm1\u000a token 1 p evil-v9 bytes ", "state": "incoming", "files": 2}]}' --json list
	ok "what would be lost is told" \
		prints "{\"session\": \"vm0\", \"files\": [$(incoming_memfd 1), $(incoming_memfd 2)]}" --json --dry-run finish vm0
	ok "and is not lost" lists incoming 2 vm0
	ok "the state is updated" test "$(luoctl state)" = updated
	ok "a report that can't be made costs no guest" \
		not_resumed /nonexistent/x --socket /tmp/vm0.sock --report /nonexistent/x
	ok "nor does a socket" not_resumed /nonexistent/y --socket /nonexistent/y
	ok "a session in use is said to be held" names_the_holder
	ok "the guest goes on" start resume vm0 --report /dev/full
	ok "a report that can't be written is warned of" warns_of_report
	ok "it checks all of its RAM" agent verify vm0
	ok "an agent that fails half way loses nothing" goes_back_half_way
	ok "a session nobody claims is finished by hand, and told" prints "incoming                      1  memfd-v2" finish "$odd"
	ok "nothing is left" lists_nothing
	ok "the state is normal again" test "$(luoctl state)" = normal
	agent stop vm0 >/dev/null
}

if [ "$stage" = 1 ]; then first_kernel; else second_kernel; fi
