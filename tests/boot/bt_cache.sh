#!/bin/sh
# The translator's bounded cache. A guest whose hot functions live on while cold ones stream through: they come back once, not once for each time
# that the cache is filled. Debian with a cache that never holds its working set: the same output, instruction count and state as with a large one.
# usage: bt_cache.sh TRINE hot IMAGE | TRINE debian SIZE [OPTION]...
trine=$1 what=$2
shift 2
. "$(dirname -- "$0")/lib.sh"
need_engine bt

# Each function is translated once, and what comes back of the guest's own code is the same with one hot function.
hot_run() { # HOT
	"$trine" run --kernel "$image" --debug-exit --memory 64M --quiet --engine bt --bt-cache 4M --append "hot_and_cold cold=262144 hot=$1" --stats "$work/stats" \
		</dev/null >"$work/out" 2>&1
	[ $? = 33 ] || fail "$(tail -n 3 "$work/out")"
	grep -q '^ok hot_and_cold' "$work/out" || fail "$(cat "$work/out")"
	stat_of "$work/stats" translated
}
hot() {
	image=$1
	once=$(hot_run 1)
	often=$(hot_run 200)
	expect "regions evicted, of four" '>=' 40 "$(stat_of "$work/stats" evictions)"
	expect "bytes of code" '<=' 4194304 "$(stat_of "$work/stats" code_bytes)"
	expect "retranslations of 200 hot functions" '<=' 600 $((often - once)) # a cache flushed whole: 3,571
}

boot() { # NAME OPTION...
	name=$1
	shift
	debian --append "console=ttyS0 trine.script=smoke" --engine bt --time virtual --max-time 500 --stats "$work/$name.stats" "$@" \
		</dev/null >"$work/$name.out" 2>"$work/$name.err" || fail "$name: exit status $?: $(tail -n 1 "$work/$name.err")"
	echo "$name: $(stat_of "$work/$name.stats" translated) translations, $(stat_of "$work/$name.stats" evictions) regions evicted, state $(stat_of "$work/$name.stats" state_hash)"
}
case $what in
hot) hot "$@" ;;
debian)
	size=$1
	shift
	need_debian
	boot large "$@"
	boot small --bt-cache "$size" "$@"
	expect "regions evicted from the large cache" '<=' 0 "$(stat_of "$work/large.stats" evictions)"
	expect "regions evicted from the small one" '>=' 100 "$(stat_of "$work/small.stats" evictions)"
	cmp "$work/large.out" "$work/small.out" || fail "the output differs"
	for key in guest_instructions state_hash; do
		[ -n "$(stat_of "$work/large.stats" $key)" ] || fail "no $key"
		[ "$(stat_of "$work/large.stats" $key)" = "$(stat_of "$work/small.stats" $key)" ] || fail "$key differs"
	done
	;;
esac
