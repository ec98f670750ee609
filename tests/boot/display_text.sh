#!/bin/sh
# --display text, driven through tmux as a person would: GRUB's menu from a CD, by keys, starts one of our guests by Multiboot (menu), or memtest86+,
# which makes one pass over a small memory (memtest).
# usage: display_text.sh TRINE GUEST.elf menu|memtest [OPTION]...
trine=$1 guest=$2 what=$3
shift 3
. "$(dirname -- "$0")/lib.sh"
[ -f /usr/share/seabios/bios-256k.bin ] || { echo "SeaBIOS is not installed (package seabios)" && exit 77; }
for program in tmux grub-mkrescue xorriso mformat; do
	command -v $program >/dev/null || { echo "$program is not installed (packages tmux grub-common grub-pc-bin xorriso mtools)" && exit 77; }
done
memtest=${cache%/guest}/foreign/memtest64
[ $what = menu ] || [ -f "$memtest" ] || { echo "no $memtest: tools/guest/foreign makes it" && exit 77; }

mkdir -p "$work/disc/boot/grub"
cp "$guest" "$work/disc/guest"
[ $what = menu ] || cp "$memtest" "$work/disc/memtest"
cat >"$work/disc/boot/grub/grub.cfg" <<'END'
set timeout=-1
menuentry "nothing here" { halt }
menuentry "a guest of ours" { multiboot /guest; boot }
menuentry "memtest" { linux /memtest nosmp; boot }
END
grub-mkrescue -o "$work/disc.iso" "$work/disc" >"$work/log" 2>&1 || { tail -n 3 "$work/log" && fail "grub-mkrescue"; }

mux() { tmux -L "trine-$$" -f /dev/null "$@"; }
trap 'mux kill-server 2>/dev/null; rm -rf "$work"' EXIT
screen() { mux capture-pane -p -t 0; }
# SECONDS TEXT: waits until the screen shows it.
shows() {
	end=$(($(date +%s) + $1 * slower))
	until screen | grep -q -- "$2"; do
		[ "$(date +%s)" -lt $end ] || { screen && fail "the screen does not show '$2' within $1 s"; }
		sleep 0.1
	done
}
key() { mux send-keys -t 0 "$@"; }

cat >"$work/run" <<END
"$trine" run --display text --serial "file:$work/serial" --memory 40M --cdrom "$work/disc.iso" --debug-exit --max-time 900 $* 2>"$work/err"
echo "status \$? \$(cat "$work/err")"
sleep 1000
END
mux new-session -d -x 90 -y 30 "sh $work/run" || fail "tmux"
shows 60 'before booting or'
shows 10 memtest # GRUB draws its entries last, from the top

# The prompt and the list of keys cover the screen, and leave it as it was.
before=$(screen)
key C-a c
shows 10 '(trine)'
! screen | grep -q 'a guest of ours' || fail "the menu stands beside the prompt"
key -l 'info mem'
key Enter
shows 10 'KiB below 4 GiB'
key C-a c
shows 10 'a guest of ours'
key C-a h
shows 10 'end the virtual machine'
key C-a c C-a c # faster than the screen is looked at
shows 10 'a guest of ours'
end=$(($(date +%s) + 10 * slower))
until [ "$(screen)" = "$before" ]; do
	[ "$(date +%s)" -lt $end ] || { screen && fail "the screen is another one behind the prompt: $before"; }
	sleep 0.1
done

case $what in
menu)
	key Down
	sleep 0.5
	key Enter
	shows 60 'status 33'
	tr -d '\r' <"$work/serial" | grep -q . || fail "the guest wrote nothing"
	;;
memtest)
	key Down Down
	sleep 0.5
	key Enter
	shows 60 'Memtest86+'
	shows 800 'Pass: *1 '
	screen | grep -q 'Errors: *0 *$' || { screen && fail "memtest86+ found errors"; }
	key C-a x
	shows 20 'status '
	;;
esac
