#!/bin/sh
# trine save: the machine goes on from its file as if it had never been saved; what cannot be saved or compared is refused; a disk that is
# full, or a limit on files' sizes, is one error line, and leaves nothing half done.
# usage: save.sh TRINE GUESTS
trine=$1 guests=$2
. "$(dirname -- "$0")/lib.sh"
machine="--memory 64M --debug-exit --quiet"
# Option lists of ours are split at blanks, and the build's path may have some.
cp "$guests/smc.elf" "$work/smc.elf"
kernel="--kernel $work/smc.elf"
run() { # WANTED-STATUS VERB OPTION...
	want=$1
	shift
	"$trine" "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status = "$want" ] || fail "$*: exit status $status, not $want: $(cat "$work/err")"
}
refused() { # STATUS PATTERN VERB OPTION...
	want=$1 pattern=$2
	shift 2
	run "$want" "$@"
	[ "$(wc -l <"$work/err")" = 1 ] || fail "$*: not one error line: $(cat "$work/err")"
	grep -q "^trine: .*$pattern" "$work/err" || fail "$*: $(cat "$work/err")"
}

# shellcheck disable=SC2086
{
	mkdir "$work/d"
	run 33 run --time virtual $machine $kernel --stats "$work/whole"
	run 0 save "$work/d/a@100000" $machine $kernel --stats "$work/saved"
	[ "$(stat_of "$work/saved" end)" = saved ] || fail "end: $(stat_of "$work/saved" end)"
	expect "instructions when it was saved" '<=' 100100 "$(stat_of "$work/saved" guest_instructions)"
	run 33 run --time virtual $machine --restore "$work/d/a" --stats "$work/restored"
	# From one file to the next.
	run 0 save "$work/d/b@200000" $machine --restore "$work/d/a"
	run 33 run --time virtual $machine --restore "$work/d/b" --stats "$work/again"
	for key in guest_instructions state_hash end; do
		for name in restored again; do
			[ "$(stat_of "$work/$name" $key)" = "$(stat_of "$work/whole" $key)" ] || fail "$name: $key differs"
		done
	done
	# bt saves and restores the same machine.
	if "$trine" engines | grep -q '^bt: usable'; then
		run 33 run --time virtual --engine bt $machine --restore "$work/d/a" --stats "$work/bt"
		[ "$(stat_of "$work/bt" guest_instructions)" = "$(stat_of "$work/whole" guest_instructions)" ] || fail "bt: another end"
	fi

	refused 1 'ended before that' save "$work/d/c@99999999999" --memory 64M --quiet --kernel "$guests/poweroff.elf"
	refused 2 'no FILE@COUNT' save
	refused 2 'no FILE@COUNT' save --kernel "$guests/smc.elf"
	refused 2 'not FILE@COUNT' save "$work/d/c" $kernel
	refused 2 'no such engine' save "$work/d/c@5" --engine nothing $kernel
	refused 3 'No such file' save "$work/none/c@5" $machine $kernel
	# What a snapshot does not keep, and what does not repeat.
	truncate -s 1M "$work/disk"
	refused 2 'needs readonly' save "$work/d/c@5" $kernel --disk "$work/disk"
	refused 2 'needs readonly' run --time virtual --restore "$work/d/a" --disk "$work/disk"
	refused 2 'net' save "$work/d/c@5" $kernel --net user
	refused 2 'net' check --engines interp,interp $kernel --net user
	refused 2 'disk' check --engines interp,interp $kernel --disk "$work/disk"
	[ ! -e "$work/d/c" ] || fail "a refused snapshot left a file"

	# Files that cannot grow: snapshot, trace, report.
	full() { # PATTERN VERB OPTION...: with nothing left behind but what was there
		pattern=$1
		shift
		(
			ulimit -f 8 # 4 KiB
			exec "$trine" "$@"
		) </dev/null >"$work/out" 2>"$work/err"
		status=$?
		[ $status = 3 ] || fail "limit: $*: exit status $status: $(cat "$work/err")"
		[ "$(wc -l <"$work/err")" = 1 ] && grep -q "^trine: .*$pattern" "$work/err" || fail "limit: $*: $(cat "$work/err")"
	}
	mkdir "$work/e"
	full 'File too large' save "$work/e/x@100000" $machine $kernel
	[ -z "$(ls -A "$work/e")" ] || fail "left behind: $(ls -A "$work/e")"
	full 'File too large' run --time virtual $machine $kernel --trace exec --trace-file "$work/trace"
}
# A file system that is full.
mkdir "$work/small"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=8k none "$work/small" 2>/dev/null; then
	trap 'umount "$work/small"; rm -rf "$work"' EXIT
	# shellcheck disable=SC2086
	refused 3 'No space left' save "$work/small/x@100000" $machine $kernel
	[ -z "$(ls -A "$work/small")" ] || fail "left behind: $(ls -A "$work/small")"
	# shellcheck disable=SC2086
	refused 3 'No space left' run --time virtual $machine $kernel --trace exec --trace-file "$work/small/trace"
else
	echo "not tried: a small file system (needs root and mount)"
fi
exit 0
