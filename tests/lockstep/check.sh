#!/bin/sh
# trine check over short guests: engines that agree, planted faults of each kind, every grain, and bad input.
# usage: check.sh TRINE-FAULTY GUESTS
trine=$1 guests=$2
. "$(dirname -- "$0")/../boot/lib.sh"
export TRINE_FAULT_EARLY=1
check() { # WANTED-STATUS ENGINES OPTION...
	want=$1 engines=$2
	shift 2
	"$trine" check --engines "$engines" --memory 64M --debug-exit "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status = "$want" ] || fail "$engines $*: exit status $status, not $want: $(cat "$work/out" "$work/err")"
}
has() { # PATTERN
	grep -q -- "$1" "$work/out" || fail "$engines: no '$1' in: $(cat "$work/out")"
}
# Split at blanks, and the build's path may have some.
cp "$guests/smc.elf" "$work/smc.elf"
smc="--kernel $work/smc.elf"

# shellcheck disable=SC2086
for grain in exit block 10000 1000000; do
	check 0 interp,interp $smc --grain "$grain" --until 204000
	has '^agree: '
	# A wrong register or byte may be dead before a coarser grain looks.
	for fault in flag $([ $grain = block ] && echo register store); do
		check 1 interp,interp-$fault $smc --grain "$grain" --until 204000
		case $fault in
		flag) has '^instruction: 0x[0-9a-f]*: .* \(cmp\|test\) ' && has 'cpu0.rflags: .*(ZF)' ;;
		register) has '^instruction: .* pop \(rbx\|ebx\)$' && has 'cpu0.gpr rbx: ' ;;
		store) has '^instruction: .* push ' && has ' ram 0x' ;;
		esac
		echo "$fault, grain $grain: $(grep ^instruction "$work/out")"
	done
done

# The line that it prints replays the difference, and the instruction before it shows none.
check 1 interp,interp-flag $smc
replay=$(sed -n 's/^replay: trine //p' "$work/out")
first=$(grep '^instruction' "$work/out" | head -n 1)
eval "\"\$trine\" $replay" >"$work/out" && fail "the replay finds no difference"
[ "$first" = "$(grep '^instruction' "$work/out")" ] || fail "the replay names another instruction: $(cat "$work/out")"
at=$(echo "$replay" | sed 's/.*--at \([0-9]*\).*/\1/')
check 0 interp,interp-flag $smc --at $((at - 1))

# A guest that ends while it is compared: alike, and otherwise.
check 0 interp,interp --kernel "$guests/hello.elf"
has 'the guest ended: debug exit'
check 0 interp,interp --kernel "$guests/triple.elf"
has 'triple fault'
check 124 interp,interp --kernel "$guests/hang.elf" --max-time 1
# It sees a wrong SMSW and ends with another value, and later: nothing was compared before.
check 1 interp,interp-smsw --kernel "$guests/audit.elf" --append clock=0 --grain 100000000
has ' interp: debug exit with value 16 '
has ' interp-smsw: debug exit with value 17 '
has '^instruction: .* smsw ax$'

# A machine that goes on from a snapshot is the same machine.
check 0 interp,interp $smc --resume 100000

# What is wrong usage, and what cannot run.
refused() { # STATUS PATTERN ARGUMENT...
	want=$1 pattern=$2
	shift 2
	"$trine" check "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status = "$want" ] || fail "$*: exit status $status, not $want: $(cat "$work/err")"
	[ "$(wc -l <"$work/err")" = 1 ] || fail "$*: not one error line: $(cat "$work/err")"
	grep -q "^trine: .*$pattern" "$work/err" || fail "$*: $(cat "$work/err")"
}
refused 2 'no such engine' --engines interp,nothing $smc
refused 2 'two engines' --engines interp $smc
refused 2 'two engines' --engines interp, $smc
refused 2 'none given' $smc
refused 4 'here to be refused' --engines interp,interp-never $smc
refused 2 'virtual time' --engines interp,interp --time real $smc
refused 2 'grain' --engines interp,interp --grain never $smc
refused 2 'needs a value' --engines interp,interp $smc --at
refused 3 'No such file' --engines interp,interp --kernel "$work/none"
echo "TMPDIR on a full disk:"
TMPDIR=$work/none
export TMPDIR
refused 3 'No such file' --engines interp,interp $smc --memory 64M --debug-exit --resume 100000
