# For the tests beside it: a folder of its own with blanks in its name, a PATH with nothing but fakes and named programs, checks.
# Sourced with the repository's root in $1.

root=$(cd -- "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
area="$work/a folder with blanks"
fakes="$work/fakes"
mkdir -p "$area" "$fakes"
failures=0

# NAME...: makes these programs of the host reachable.
host_programs() {
	# Not `command -v`, which answers with the bare name for what is also built into the shell.
	for program; do ln -sf "$(env which "$program")" "$fakes/$program"; done
}

# NAME: makes a program of standard input, a shell script.
fake() {
	rm -f "$fakes/$1"
	{
		echo '#!/bin/sh'
		cat
	} >"$fakes/$1"
	chmod +x "$fakes/$1"
}

# NAME COMMAND...: one case; COMMAND must succeed.
check() {
	name=$1
	shift
	if "$@"; then
		echo "ok $name"
	else
		echo "not ok $name: $*"
		for file in "$work/out" "$work/err" "$work/calls"; do [ -s "$file" ] && sed "s|^|    ${file##*/}: |" "$file"; done
		failures=$((failures + 1))
	fi
}

# COMMAND...: runs it with the fakes only; output to $work/out and $work/err, exit status to $status.
try() {
	: >"$work/calls"
	status=0
	env -i PATH="$fakes" HOME="$work/home" TRINE_TEST_WORK="$work" "$@" >"$work/out" 2>"$work/err" || status=$?
}

ends_with_line() { # FILE LINE
	[ "$(tail -n 1 "$1")" = "$2" ]
}

finish() {
	[ "$failures" = 0 ]
	exit
}
