#!/bin/sh
# Debian boots under --time virtual with snapshots at random points; each, restored in a new process, ends with the instruction count and the final state
# of the run that was never saved, on the engine that saved it and on the interpreter in turn. What is no snapshot of this machine is refused with one line.
# usage: snapshot.sh TRINE [POINTS [SEED]]
trine=$1 points=${2:-5} seed=${3:-1}
. "$(dirname -- "$0")/lib.sh"
need_debian
boot() { # NAME OPTION...
	name=$1
	shift
	"$trine" run --time virtual --memory 256M --max-time 500 --quiet --stats "$work/$name.stats" "$@" \
		</dev/null >"$work/$name.out" 2>"$work/$name.err" || fail "run $name: exit status $?: $(cat "$work/$name.err")"
}
kernel() { # NAME OPTION...
	name=$1
	shift
	boot "$name" --kernel "$cache/vmlinuz" --initrd "$cache/initramfs.cpio" --append "console=ttyS0 trine.script=smoke" "$@"
}
same() { # NAME
	for key in guest_instructions state_hash; do
		[ "$(stat_of "$work/$1.stats" $key)" = "$(stat_of "$work/whole.stats" $key)" ] || fail "$1: $key differs from the uninterrupted run's"
	done
}
refused() { # STATUS PATTERN OPTION...
	want=$1 pattern=$2
	shift 2
	"$trine" run --time virtual --quiet "$@" </dev/null >/dev/null 2>"$work/refused"
	status=$?
	[ $status = "$want" ] || fail "$*: exit status $status, not $want: $(cat "$work/refused")"
	[ "$(wc -l <"$work/refused")" = 1 ] || fail "$*: not one error line: $(cat "$work/refused")"
	grep -q "$pattern" "$work/refused" || fail "$*: $(cat "$work/refused")"
}

kernel whole
total=$(stat_of "$work/whole.stats" guest_instructions)
counts=$(awk -v n="$points" -v t="$total" -v s="$seed" 'BEGIN { srand(s); for (i = 0; i < n; i++) printf "%.0f\n", rand() * t }' | sort -n)
left=$points
# At most 10 files at a time: each holds the guest's memory.
for first in $(seq 1 10 "$points"); do
	set --
	for count in $(echo "$counts" | sed -n "$first,$((first + 9))p"); do
		set -- "$@" --save "$work/at$count@$count"
	done
	kernel saving "$@"
	same saving
	for file in "$work"/at*; do
		[ -s "$file" ] || fail "$file: not written"
		[ $((left % 2)) = 0 ] && engine=auto || engine=interp
		boot restored --engine $engine --restore "$file"
		same restored
		left=$((left - 1))
		[ "$left" = 0 ] && last=$file || rm "$file"
	done
done
[ "$left" = 0 ] || fail "$left snapshots are missing"
echo "$points snapshots, each to $total instructions, state $(stat_of "$work/whole.stats" state_hash)"

size=$(stat -c %s "$last")
refused 2 memory --memory 512M --restore "$last"
refused 2 cpu --memory 256M --cpu v1 --restore "$last"
refused 3 'no snapshot' --memory 256M --restore "$cache/vmlinuz"
for part in 5 20 "$((size / 2))" "$((size - 1))"; do
	head -c "$part" "$last" >"$work/cut"
	refused 3 'truncated' --memory 256M --restore "$work/cut"
done
cp "$last" "$work/cut"
printf '\125\252' | dd of="$work/cut" bs=1 seek=$((size / 3)) conv=notrunc 2>/dev/null
refused 3 'checksum' --memory 256M --restore "$work/cut"
: >"$work/empty"
refused 3 'empty' --memory 256M --restore "$work/empty"
refused 3 'No such file' --memory 256M --kernel "$cache/vmlinuz" --save "$work/none/x@5" --append console=ttyS0
