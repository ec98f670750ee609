#!/bin/sh
# The translator against the interpreter under --time virtual: the same exit status, output, instruction count and final state.
# usage: engines_same.sh TRINE debian [OPTION]... | TRINE IMAGE [OPTION]...
trine=$1
shift
. "$(dirname -- "$0")/lib.sh"
need_engine bt
once() { # ENGINE OPTION...
	engine=$1
	shift
	if [ "$1" = debian ]; then
		shift
		debian "$@" --append "console=ttyS0 trine.script=smoke" --engine "$engine" --time virtual --max-time 500 \
			--stats "$work/$engine.stats" </dev/null >"$work/$engine.out" 2>"$work/$engine.err"
	else
		image=$1
		shift
		"$trine" run --kernel "$image" --debug-exit --memory 64M --engine "$engine" --time virtual --max-time 100 "$@" \
			--stats "$work/$engine.stats" </dev/null >"$work/$engine.out" 2>"$work/$engine.err"
	fi
	echo $? >"$work/$engine.status"
	echo "$engine: exit status $(cat "$work/$engine.status"), $(stat_of "$work/$engine.stats" guest_instructions) instructions, state $(stat_of "$work/$engine.stats" state_hash)"
}
[ "$1" != debian ] || need_debian
once interp "$@"
once bt "$@"
[ "$(cat "$work/interp.status")" != 124 ] || fail "not done in time"
cmp "$work/interp.status" "$work/bt.status" || fail "the exit status differs"
cmp "$work/interp.out" "$work/bt.out" || fail "the output differs"
for key in guest_instructions state_hash; do
	[ -n "$(stat_of "$work/bt.stats" $key)" ] || fail "no $key"
	[ "$(stat_of "$work/interp.stats" $key)" = "$(stat_of "$work/bt.stats" $key)" ] || fail "$key differs"
done
[ "$(stat_of "$work/bt.stats" translated)" != null ] || fail "nothing was translated"
expect "host faults in translated code that are not the guest's, of $(stat_of "$work/bt.stats" host_faults)" == 0 "$(stat_of "$work/bt.stats" stray_faults)"
