#!/bin/sh
# Help, version, the list of engines; the manual page has the same options, with the same arguments, as `trine run --help`.
# usage: cli_help.sh TRINE MANUAL-PAGE
trine=$1 page=$2
. "$(dirname -- "$0")/lib.sh"

for words in --help 'run --help' 'engines --help' 'check --help' 'audit --help' 'save --help' 'show-translation --help' 'memory --help' 'memory-broker --help' 'run --memory abc --help' --version engines; do
	# shellcheck disable=SC2086
	"$trine" $words </dev/null >"$work/out" 2>"$work/err" || fail "trine $words: exit status $?"
	[ -s "$work/out" ] || fail "trine $words: no output"
	[ ! -s "$work/err" ] || fail "trine $words: $(cat "$work/err")"
	"$trine" $words </dev/null >/dev/full 2>"$work/err"
	[ $? = 3 ] || fail "trine $words, disk full: exit status not 3"
	grep -q '^trine: standard output: No space left' "$work/err" || fail "trine $words, disk full: $(cat "$work/err")"
done
"$trine" --version | grep -qxE 'trine [0-9]+\.[0-9]+\.[0-9]+' || fail "version"
"$trine" engines >"$work/out"
sed '$d' "$work/out" | grep -vxE '[a-z]+: (usable|not usable: .+)' && fail "engines: a line of another form"
usable=$(sed -n 's/^\([a-z]*\): usable$/\1/p' "$work/out" | head -n 1)
[ "$(tail -n 1 "$work/out")" = "auto: $usable" ] || fail "engines: auto is not the first usable one"

# `  --name ARG` of --help against `.BI \-\-name " ARG"` or `.B \-\-name` of the page.
"$trine" run --help | sed -n 's/^  --//p' | sort >"$work/help"
sed -n '/^\.SH OPTIONS/,/^\.SH TERMINAL/{/^\.TP/{n;s/^\.BI* \\-\\-//p}}' "$page" | sed 's/\\-/-/g; s/" *//g; s/  */ /g' | sort >"$work/page"
[ -s "$work/help" ] || fail "no options in --help"
diff "$work/help" "$work/page" || fail "--help (<) and the manual page (>) differ"
while read -r name rest; do
	[ -z "$rest" ] || continue
	"$trine" run "--$name=x" 2>&1 | grep -q 'takes no value' || fail "--$name is listed without an argument, and takes one"
done <"$work/help"
man_words=$(sed -n '/^\.SH EXIT STATUS/,/^\.SH EXAMPLE/p' "$page")
for status in 0 1 2 3 4 124; do
	echo "$man_words" | grep -q "^\.B $status\$" || fail "the page lacks exit status $status"
done
