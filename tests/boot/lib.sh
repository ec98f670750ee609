# For the tests beside it, which get: TRINE [ARGUMENT]... Sourced with the monitor in $trine.
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# How many times longer than usual the tests may take (tests/run --slower).
slower=${TRINE_TEST_SLOWER:-1}
cache=${TRINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trine}/guest

fail() {
	echo "FAILED: $*"
	exit 1
}

# For --sandbox on: at the end of a process LeakSanitizer starts another, which traces it (prctl, clone, ptrace), and no filter shall allow that.
no_leak_search() {
	[ -z "${TRINE_SANITIZED-}" ] || export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
}

# The tests that boot Debian's kernel are skipped where tools/guest/prepare could not fetch it.
need_debian() {
	[ -f "$cache/vmlinuz" ] && [ -f "$cache/initramfs.cpio" ] || {
		echo "no guest in $cache: tools/guest/prepare makes it"
		exit 77
	}
}

# NAME: the tests of an engine are skipped where it does not work, with its own reason. Needs $trine.
need_engine() {
	"$trine" engines | grep -qx "$1: usable" && return
	"$trine" engines | grep "^$1:"
	exit 77
}

# FILE KEY: a number or word out of a report of --stats.
stat_of() {
	sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$1" | head -n 1
}

# NAME OPERATOR LIMIT VALUE: asserts a number.
expect() {
	awk -v v="$4" -v l="$3" "BEGIN { exit !(v != \"\" && v + 0 $2 l + 0) }" || fail "$1 is $4, not $2 $3"
	echo "$1: $4 (must be $2 $3)"
}

# PID PATTERN SECONDS WHY: waits until a line of "$work/out" matches; fails when the VM, process PID, ends before.
await_line() {
	await_end=$(($(date +%s) + $3))
	until grep -q "$2" "$work/out"; do
		sleep 0.2
		kill -0 "$1" 2>/dev/null && [ "$(date +%s)" -lt "$await_end" ] || { tail -n 30 "$work/out" && fail "$4"; }
	done
}

debian() { # OPTION...
	"$trine" run --kernel "$cache/vmlinuz" --initrd "$cache/initramfs.cpio" --memory 256M "$@"
}

# modern|legacy: what makes Linux's driver use these registers of a virtio PCI device (a transitional one has both), and its feature bit 32.
virtio_option() {
	[ "$1" = modern ] || echo " virtio_pci.force_legacy=1"
}

virtio_version() {
	[ "$1" = modern ] && echo 1 || echo 0
}
