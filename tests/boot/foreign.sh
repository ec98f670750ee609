#!/bin/sh
# Kernels of other people that are no 64-bit bzImage (tools/guest/foreign): each by its own boot protocol, as far as its devices and its
# protocol's modules let it go.
# usage: foreign.sh TRINE NAME ENGINE
# linux-686-same: on ENGINE and on the interpreter, to the same state.
trine=$1 name=$2 engine=$3
. "$(dirname -- "$0")/lib.sh"
need_debian
kernels=${cache%/guest}/foreign

need() {
	for file; do
		[ -f "$kernels/$file" ] || {
			echo "no $kernels/$file: tools/guest/foreign makes it"
			exit 77
		}
	done
}

# STATUS OPTION...: runs to the end.
run_to_end() {
	want=$1
	shift
	"$trine" run --engine "$engine" --quiet --stats "$work/stats" --max-time $((400 * slower)) "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	tail -n 15 "$work/out"
	cat "$work/err"
	[ "$status" = "$want" ] || fail "exit status $status, not $want"
	expect "instructions not built" == 0 "$(stat_of "$work/stats" unbuilt)"
}
# TEXT OPTION...: runs until the guest has written TEXT; it never ends by itself.
run_until() {
	text=$1
	shift
	"$trine" run --engine "$engine" --quiet --max-time $((400 * slower)) "$@" </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	while kill -0 $pid 2>/dev/null && ! grep -qa -- "$text" "$work/out"; do sleep 0.2; done
	kill $pid 2>/dev/null
	wait $pid
	tail -c 600 "$work/out"
	grep -qa -- "$text" "$work/out" || fail "it never wrote '$text': $(cat "$work/err")"
}
# The translator had all but a thousandth of the instructions in its cache.
in_cache() {
	awk -v all="$(stat_of "$work/stats" guest_instructions)" -v one="$(stat_of "$work/stats" steps)" -v other="$(stat_of "$work/stats" foreign)" 'BEGIN {
		printf "%d instructions; outside the cache: %d one by one, %d in other modes\n", all, one, other
		exit !(all > 1e9 && one + other < all / 1000)
	}' || fail "more than one instruction in a thousand ran outside the cache"
}
wrote() {
	tr -d '\r' <"$work/out" | grep -qa -- "$1" || fail "it did not write '$1'"
}

case $name in
pvh)
	need vmlinux
	run_to_end 0 --kernel "$kernels/vmlinux" --initrd "$cache/initramfs.cpio" --memory 256M --append "console=ttyS0 trine.script=none"
	wrote '^trine-script-exit'
	;;
linux-686)
	need vmlinuz-686 initramfs-686.cpio
	run_to_end 0 --kernel "$kernels/vmlinuz-686" --initrd "$kernels/initramfs-686.cpio" --memory 256M --append "console=ttyS0 trine.script=smoke"
	wrote '^trine-smoke-ok$'
	[ "$engine" != bt ] || in_cache
	;;
linux-686-same)
	need vmlinuz-686 initramfs-686.cpio
	need_engine "$engine"
	set -- --kernel "$kernels/vmlinuz-686" --initrd "$kernels/initramfs-686.cpio" --memory 256M --append "console=ttyS0 trine.script=none" --time virtual
	run_to_end 0 "$@"
	wrote '^trine-script-exit'
	mv "$work/stats" "$work/first.stats"
	mv "$work/out" "$work/first.out"
	engine=interp
	run_to_end 0 "$@"
	cmp "$work/out" "$work/first.out" || fail "the output differs"
	for key in guest_instructions state_hash; do
		[ -n "$(stat_of "$work/stats" $key)" ] || fail "no $key"
		[ "$(stat_of "$work/stats" $key)" = "$(stat_of "$work/first.stats" $key)" ] || fail "$key differs"
		echo "$key: $(stat_of "$work/stats" $key) on both"
	done
	;;
xen) # without a first domain it panics, waits five seconds and resets by the keyboard controller
	need xen
	run_to_end 1 --kernel "$kernels/xen" --memory 256M --append "console=com1 com1=115200" --time virtual
	wrote '^(XEN) dom0 kernel not specified'
	;;
gnumach)
	need gnumach
	run_until 'No bootstrap code loaded' --kernel "$kernels/gnumach" --memory 256M --append "console=com0"
	wrote '^GNU Mach 1'
	;;
memtest64 | memtest32)
	need "$name"
	run_until 'Moving inversions' --kernel "$kernels/$name" --memory 16M --append "console=ttyS0,115200 nosmp"
	! grep -qa 'Errors: *[1-9]' "$work/out" || fail "it found errors"
	;;
*) fail "no kernel $name" ;;
esac
