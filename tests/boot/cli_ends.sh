#!/bin/sh
# How runs end, and where their input and output go: exit statuses, signals, the report, pipes, files, sockets, recorded input.
# usage: cli_ends.sh TRINE GUESTS ECHO-IMAGE       GUESTS: the folder with hello.elf and the like; ECHO-IMAGE: of echo.S
trine=$1 guests=$2 echo=$3
. "$(dirname -- "$0")/lib.sh"

ends() { # STATUS OPTION...: output in $work/out and err
	want=$1
	shift
	timeout $((60 * slower)) "$trine" run "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" = "$want" ] || fail "run $*: exit status $status, not $want: $(cat "$work/err")"
}
json() { # END: the report is JSON as far as a shell can see, and says END
	[ "$(stat_of "$work/stats" end)" = "$1" ] || fail "the report says $(stat_of "$work/stats" end), not $1"
	for key in engine wall_s guest_instructions mips exits blocks translated flushed memory guest_bytes resident_bytes shared_bytes \
		ballooned_bytes monitor_bytes state_hash count ns; do
		grep -q "\"$key\": " "$work/stats" || fail "the report lacks $key"
	done
	[ "$(tr -cd '{' <"$work/stats" | wc -c)" = "$(tr -cd '}' <"$work/stats" | wc -c)" ] || fail "the report's braces"
	awk '/^ *}/ && last ~ /,$/ { exit 1 } { last = $0 }' "$work/stats" || fail "the report has a comma too many"
}

ends 33 --kernel "$guests/hello.elf" --debug-exit --stats "$work/stats"
json debug-exit
ends 0 --kernel "$guests/poweroff.elf" --stats "$work/stats"
json poweroff
ends 1 --kernel "$guests/triple.elf" --stats "$work/stats" --quiet
json triple-fault
grep -qE '^trine: guest: .*triple.* at RIP 0x[0-9a-f]+$' "$work/err" || fail "triple fault: $(cat "$work/err")"
[ "$(wc -l <"$work/err")" = 1 ] || fail "triple fault, --quiet: $(cat "$work/err")"
ends 124 --kernel "$guests/hang.elf" --max-time 0.5 --stats "$work/stats"
json max-time
ends 124 --kernel "$guests/triple.elf" --reboot --max-time 0.5
ends 3 --kernel "$guests/poweroff.elf" --stats /dev/full
ends 33 --kernel "$guests/hello.elf" --debug-exit
grep -q '^trine: engine: ' "$work/err" || fail "it does not say which engine"

# Signals from outside (SIGINT: tests/boot/pty_cli.c; a shell starts background commands with it ignored, and so it stays; nohup
# does so with SIGHUP).
for pair in TERM:143 HUP:129; do
	env --default-signal=HUP "$trine" run --kernel "$guests/hang.elf" --quiet --stats "$work/stats" </dev/null &
	pid=$!
	sleep 0.5
	kill -s "${pair%:*}" $pid
	wait $pid
	[ $? = "${pair#*:}" ] || fail "SIG${pair%:*}: exit status"
	json stopped
done

# A pipe into the guest loses nothing, though the guest is deaf for a while; its end is not the guest's.
{ awk 'BEGIN { for (i = 0; i < 3000; i++) print "line " i " of what is sent" }' && printf S; } >"$work/text"
{ cat "$work/text" "$work/text" && sleep 0.3 && printf Q; } | timeout $((60 * slower)) "$trine" run --kernel "$echo" --debug-exit --quiet >"$work/out" 2>"$work/err"
status=$? # 124: it took too long, which a busy host makes it
[ "$status" = 33 ] || fail "the echo: exit status $status, $(wc -c <"$work/out") bytes: $(cat "$work/err")"
{ printf '!' && cat "$work/text" "$work/text" | tr -d S; } | cmp - "$work/out" || fail "the echo differs from the input"
ends 124 --kernel "$echo" --max-time 1
[ "$(cat "$work/out")" = '!' ] || fail "end of input"
ends 124 --kernel "$echo" --max-time 1 --serial none

# Nobody reads: the guest runs on. A slow reader gets everything.
{ printf FFQ | timeout $((60 * slower)) "$trine" run --kernel "$echo" --debug-exit --quiet; echo $? >"$work/status"; } | head -c 10 >/dev/null
[ "$(cat "$work/status")" = 33 ] || fail "closed output: exit status $(cat "$work/status")"
printf FFQ | timeout $((60 * slower)) "$trine" run --kernel "$echo" --debug-exit --quiet >&- 2>"$work/err"
[ $? = 33 ] || fail "no output: $(cat "$work/err")"
printf FFQ | timeout $((60 * slower)) "$trine" run --kernel "$echo" --debug-exit --quiet >/dev/full 2>"$work/err"
[ $? = 33 ] || fail "full output: $(cat "$work/err")"
grep -q '^trine: standard output: No space left on device: ' "$work/err" || fail "full output is not told"
printf FFQ | timeout $((60 * slower)) "$trine" run --kernel "$echo" --debug-exit --quiet | { sleep 1 && cat; } >"$work/out"
[ "$(wc -c <"$work/out")" = 400003 ] || fail "a slow reader got $(wc -c <"$work/out") bytes"
timeout $((60 * slower)) "$trine" run --kernel "$echo" --quiet --max-time 1 <&- >"$work/out" || [ $? = 124 ] || fail "closed input"
[ "$(cat "$work/out")" = '!' ] || fail "closed input: $(cat "$work/out")"

# The output as a file.
printf Q | timeout $((60 * slower)) "$trine" run --kernel "$echo" --quiet --debug-exit --max-time 2 --serial "file:$work/serial" >"$work/out"
[ "$(cat "$work/serial")" = '!' ] && [ ! -s "$work/out" ] || fail "--serial file:"

# What was typed under virtual time is repeated exactly; a damaged log is refused, with its line.
printf '100000 6869\n200000 0a51\n' >"$work/log"
for n in 1 2; do
	ends 33 --kernel "$echo" --debug-exit --time virtual --input-log "$work/log" --record-input "$work/log$n" --stats "$work/stats$n" --max-time 30
	[ "$(cat "$work/out")" = "$(printf '!hi\n')" ] || fail "replayed input gave $(cat "$work/out")"
done
for key in state_hash guest_instructions; do
	[ "$(stat_of "$work/stats1" $key)" = "$(stat_of "$work/stats2" $key)" ] || fail "the same input, another $key"
done
ends 33 --kernel "$echo" --debug-exit --time virtual --input-log "$work/log1" --stats "$work/stats" --max-time 30
[ "$(stat_of "$work/stats" state_hash)" = "$(stat_of "$work/stats1" state_hash)" ] || fail "the recorded log gave another run"
# Each software engine records, and the other repeats: what a log said, and what came in real time (the record then says at which instruction).
for pair in interp:bt bt:interp; do
	by=${pair%:*} other=${pair#*:}
	"$trine" engines | grep -qx "bt: usable" || break
	ends 33 --kernel "$echo" --debug-exit --engine "$by" --time virtual --input-log "$work/log" --record-input "$work/log1" --max-time 30
	ends 33 --kernel "$echo" --debug-exit --engine "$other" --time virtual --input-log "$work/log1" --stats "$work/stats" --max-time 30
	for key in state_hash guest_instructions; do
		[ "$(stat_of "$work/stats" $key)" = "$(stat_of "$work/stats1" $key)" ] || fail "recorded on $by: another $key on $other"
	done
	printf 'hi\nQ' | timeout $((60 * slower)) "$trine" run --kernel "$echo" --debug-exit --quiet --engine "$by" --record-input "$work/log2" >"$work/out"
	[ $? = 33 ] && [ "$(cat "$work/out")" = "$(printf '!hi\n')" ] || fail "recording on $by in real time: $(cat "$work/out")"
	ends 33 --kernel "$echo" --debug-exit --engine "$other" --time virtual --input-log "$work/log2" --max-time $((30 * slower))
	[ "$(cat "$work/out")" = "$(printf '!hi\n')" ] || fail "recorded on $by in real time, repeated on $other: $(cat "$work/out")"
done
for line in '100 4' '100 zz' 'x 41' '50 41' '100' '100 41 42'; do
	printf '60 41\n%s\n' "$line" >"$work/bad"
	ends 3 --kernel "$echo" --time virtual --input-log "$work/bad"
	grep -q "^trine: $work/bad:2: " "$work/err" || fail "log line '$line': $(cat "$work/err")"
done
