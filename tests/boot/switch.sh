#!/bin/sh
# The guest moves between engines and does not notice: under --time virtual output, instruction count and final state are those of a
# run on one engine; under --time real it comes to the same end.
# usage: switch.sh TRINE debian | TRINE guests IMAGE... | TRINE smp IMAGE
trine=$1 what=$2
shift 2
. "$(dirname -- "$0")/lib.sh"
need_engine bt

run() { # NAME OPTION...: of the guest in $image
	name=$1
	shift
	if [ "$image" = debian ]; then
		debian --append "console=ttyS0 trine.script=smoke" "$@" --max-time $((300 * slower)) --stats "$work/$name.stats"
	else
		"$trine" run --kernel "$image" --debug-exit --memory 64M "$@" --max-time $((100 * slower)) --stats "$work/$name.stats"
	fi </dev/null >"$work/$name.out" 2>"$work/$name.err"
	echo $? >"$work/$name.status"
}
switched() { # NAME NUMBER
	[ "$(stat_of "$work/$1.stats" switches)" = "$2" ] || fail "$image: $(stat_of "$work/$1.stats" switches) switches, not $2: $(cat "$work/$1.err")"
}
same() { # NAME NAME: after runs under --time virtual
	cmp "$work/$1.status" "$work/$2.status" || fail "$image: the exit status differs: $(cat "$work/$1.status" "$work/$2.status")"
	cmp "$work/$1.out" "$work/$2.out" || fail "$image: the output differs"
	for key in guest_instructions state_hash; do
		[ -n "$(stat_of "$work/$1.stats" $key)" ] || fail "no $key"
		[ "$(stat_of "$work/$1.stats" $key)" = "$(stat_of "$work/$2.stats" $key)" ] || fail "$image: $key differs"
	done
	echo "$image: $(stat_of "$work/$1.stats" guest_instructions) instructions, state $(stat_of "$work/$1.stats" state_hash)"
}

case $what in
debian)
	need_debian
	image=debian
	run one --engine bt --time virtual
	run moved --time virtual --switch interp:bt@instructions=20000000 --switch bt:interp@exits=9000 --switch interp:bt@exits=9500 \
		--switch 'bt:interp@serial=Run /init' --switch interp:bt@instructions=700000000 --switch bt:interp@serial=trine-smoke
	switched moved 6
	same one moved
	run real --switch 'bt:interp@serial=Memory:' --switch interp:bt@exits=12500 --switch 'bt:interp@serial=Run /init' --switch interp:bt@serial=x86_64
	switched real 4
	grep -q 'trine-script-exit 0' "$work/real.out" || fail "real time: the script did not end well: $(tail -n 3 "$work/real.out")"
	;;
guests)
	for image; do
		run one --engine bt --time virtual
		n=$(stat_of "$work/one.stats" guest_instructions)
		run moved --time virtual --switch interp:bt@exits=3 --switch "bt:interp@instructions=$((n / 3))" \
			--switch "interp:bt@instructions=$((n / 3 + 1))" --switch "bt:interp@instructions=$((n / 2))" --switch "interp:bt@instructions=$((n - 1000))"
		switched moved 5
		same one moved
		run real --switch bt:interp@exits=10 --switch interp:bt@instructions=$((n / 4)) --switch bt:interp@instructions=$((n / 2))
		switched real 3
		cmp "$work/real.status" "$work/one.status" || fail "$image: real time: exit status $(cat "$work/real.status"): $(grep '^not ok' "$work/real.out")"
	done
	;;
smp)
	image=$1
	set -- --cpus 4 --append k=400
	run one --engine interp --time virtual "$@"
	run moved --time virtual --switch interp:interp@exits=200 --switch interp:interp@instructions=9000000 --switch interp:interp@exits=4000 "$@"
	switched moved 3
	same one moved
	run real --switch interp:interp@exits=200 --switch interp:interp@exits=2000 --switch interp:interp@instructions=3000000 --switch interp:interp@serial=ok "$@"
	switched real 4
	cmp "$work/real.status" "$work/one.status" || fail "real time: exit status $(cat "$work/real.status"): $(grep '^not ok' "$work/real.out")"
	;;
esac
