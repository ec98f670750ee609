#!/bin/sh
# `trine show-translation` on the textbook's example: CLI and STI in line on the virtual IF with the pending check after STI, AND unchanged,
# MOV CR3 by its own way, RET through the jump table; and what it says where there is nothing to show.
# usage: show_translation.sh TRINE IMAGE
trine=$1 image=$2
. "$(dirname -- "$0")/lib.sh"
need_engine bt
line=$("$trine" run --kernel "$image" --debug-exit --quiet --append textbook </dev/null | grep '^textbook at')
at=$(echo "$line" | sed 's/.* at \(0x[0-9a-f]*\),.*/\1/') bytes=$(echo "$line" | sed 's/.*, \([0-9]*\) bytes.*/\1/')
[ "$bytes" = 16 ] || fail "the guest says: $line"
"$trine" show-translation "$at+$bytes" --kernel "$image" --debug-exit --append textbook </dev/null >"$work/out" 2>"$work/err" ||
	fail "exit status $?: $(cat "$work/err")"
cat "$work/out"

# The translation of the guest's instruction TEXT, a line each.
of() {
	awk -v text="$1" '/^(block|rare)/ { on = 0; next } { g = substr($0, 9, 29); sub(/ *$/, "", g); h = substr($0, 41) }
		g != "" { on = g == text } on && h != "" { print h }' "$work/out"
}
want() { # TEXT: standard input is what its translation must be
	cat >"$work/want"
	of "$1" >"$work/got"
	diff "$work/want" "$work/got" || fail "$1 is not translated as it should be"
}
has() { # TEXT PATTERN
	of "$1" | grep -qE -- "$2" || fail "no '$2' in the translation of $1"
}
of 'mov rbx, rax' | tail -n 1 | grep -qx 'mov rbx, rax' || fail "MOV is not copied"
want cli <<-'END'
	mov r10, [cpu]
	and dword ptr [r10+rflags_sys], 0xFFFFFDFF
END
want 'and rbx, 0xFFFFFFFFFFFFF000' <<-'END'
	and rbx, 0xFFFFFFFFFFFFF000
END
has sti 'or dword ptr \[r10\+rflags_sys\], 0x200'
has sti 'mov \[r10\+shadow_at\], r11'
[ "$(of sti | tail -n 2 | sed 's/rare.*/rare/')" = 'cmp dword ptr [r10+attention], 0x0
jnz rare' ] || fail "STI does not end with the pending check"
has ret 'jmp \[r11\+0x8\]'
of 'mov cr3, rbx' | grep -q 'cr3' && fail "MOV CR3 stands in the cache"
[ -n "$(of 'mov cr3, rbx')" ] || fail "MOV CR3 is not there"

refused() { # STATUS PATTERN WORD...
	status=$1 pattern=$2
	shift 2
	"$trine" show-translation "$@" </dev/null >"$work/out" 2>"$work/err"
	got=$?
	[ "$got" = "$status" ] || fail "$*: exit status $got, not $status"
	grep -qE "^trine: $pattern" "$work/err" || fail "$*: $(cat "$work/err")"
}
refused 1 'show-translation: 0x10: nothing there was translated' 0x10 --kernel "$image" --debug-exit --append textbook
refused 2 'show-translation: no ADDR' --kernel "$image"
refused 2 'show-translation: here: no address' here --kernel "$image"
refused 2 'show-translation: 1\+4097: the length' 1+4097 --kernel "$image"
refused 2 'show-translation: 0xffffffffffffffff\+2: the range' 0xffffffffffffffff+2 --kernel "$image"
refused 2 'show-translation: --engine interp' 1 --engine interp --kernel "$image"
