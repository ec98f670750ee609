#!/bin/sh
# Holds the includes of src/ to their one direction (DESIGN: cli -> machine -> dev, irq, engine -> cpu, isa -> mem -> base; host beside them, for
# machine and cli). `A: B C` below: files of folder A may include from A, B and C. The command line sees the library by include/trine.h alone.
# usage: include_graph.sh REPOSITORY
set -u
cd -- "$1/src" || exit 1

allowed='
base:
mem: base
cpu: mem base
isa: cpu base
engine: cpu isa mem base
irq: dev mem base
dev: mem base
host: dev base
pv: irq dev cpu mem base
share: host mem base
snap: machine engine dev irq cpu mem base
machine: pv mon share host snap engine dev irq cpu isa mem base
mon: host engine cpu isa mem base
audit: machine host snap engine cpu isa mem base
lockstep: machine host snap engine cpu isa mem base
cli:
'
# The terminal is the command line'"'"'s own business and the host layer'"'"'s; everything else of it goes through trine.h.
bad=0 seen=0
for file in $(find . -name '*.[ch]' | sed 's|^\./||'); do
	folder=${file%%/*}
	rule=$(printf '%s' "$allowed" | sed -n "s/^$folder://p")
	for target in $(sed -n 's/^#include "\([a-z]*\)\/.*/\1/p' "$file" | sort -u); do
		seen=$((seen + 1))
		[ "$target" = "$folder" ] && continue
		case " $rule " in
		*" $target "*) ;;
		*) echo "src/$file includes from $target/: not allowed for $folder/" && bad=$((bad + 1)) ;;
		esac
	done
done
# Engines are told apart nowhere else.
if grep -rnE 'engine *== *&?engine_' --include='*.c' . | grep -v '^\./engine/'; then
	echo "an engine is compared by name outside src/engine" && bad=$((bad + 1))
fi
[ "$seen" -gt 100 ] || { echo "only $seen includes seen: is this the repository?" && exit 1; }
[ "$bad" = 0 ]
