#!/bin/sh
# Bad input: each ends at once in one line `trine: what: why` with the right exit status, and nothing is left behind.
# usage: cli_usage.sh TRINE HELLO-IMAGE
trine=$1 hello=$2
. "$(dirname -- "$0")/lib.sh"
cases=0
untried= # what this host lacks the means for

# STATUS LINE ARGUMENT...: LINE is a shell pattern.
refused() {
	want=$1 line=$2
	shift 2
	timeout 20 "$trine" "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	cases=$((cases + 1))
	[ "$status" = "$want" ] || fail "trine $*: exit status $status, not $want: $(cat "$work/err")"
	[ "$(wc -l <"$work/err")" = 1 ] || fail "trine $*: not one line: $(cat "$work/err")"
	[ ! -s "$work/out" ] || fail "trine $*: wrote to standard output: $(head -n 3 "$work/out")"
	case $(cat "$work/err") in
	"trine: "$line) ;;
	*) fail "trine $*: said \"$(cat "$work/err")\", not \"trine: $line\"" ;;
	esac
}
run() { # STATUS LINE OPTION...
	s=$1 l=$2
	shift 2
	refused "$s" "$l" run --kernel "$hello" "$@"
}

refused 2 'no verb: *'
refused 2 'bench: unknown verb: *' bench
refused 2 '--nothing: unknown option: *' --nothing
refused 2 'now: engines takes no arguments' engines now
refused 2 '--kernel: none given*' run --machine microvm
run 3 '/none/a.img: No such file or directory' -- /none/a.img
run 3 '/none/a.img: No such file or directory' /none/a.img
run 2 ': no file given' ''
run 2 '-x: unknown option: *' -x
run 2 '--kernelx: unknown option: *' --kernelx 1
run 2 '--k: unknown option: *' --k 1
run 2 '--quiet: takes no value' --quiet=yes
run 2 '--memory: needs a value: SIZE\[,prealloc]' --memory
run 2 '--memory : empty' --memory ''

for size in abc 1T 1k -1 +1 1MB 0x100 ' 1M' 1.5G 99999999999999999999 18446744073709551615G 16777216M1; do
	run 2 "--memory $size: not a size: *" --memory "$size"
done
run 2 '--memory 0: less than 1M' --memory 0
run 2 '--memory 1023K: less than 1M' --memory=1023K
run 2 '--memory 32769G: more than the processor can address*' --memory 32769G
run 2 '--memory 1048577: not a multiple of 4K' --memory 1048577
run 2 '--memory 1G,hugely: behind the size there is only ,prealloc' --memory 1G,hugely
run 2 '--balloon 2147483648: more than --memory' --balloon 2G
run 2 '--display text: a machine without firmware (--kernel) has no display' --display text
: >"$work/empty-disk" && truncate -s 1M "$work/empty-disk"
refused 2 'display text: standard input and output are no terminal' run --disk "$work/empty-disk" --display text
run 2 '--balloon auto: needs --time real' --balloon auto --time virtual
for option in 'engine bochs:no such engine' 'engine jit:not built in' \
	'machine q35:no such machine' 'cpu 486:no such processor*' \
	'cpus 0:not a number*' 'cpus two:not a number*' 'cpus 33:more vCPUs than 32' 'cpus 18446744073709551617:not a number*' 'cpus -1:not a number*' 'cpus 1K:not a number*' \
	'serial com1:none of *' 'serial file\::no path given' 'serial stdiox:none of *' \
	'time fast:neither real nor virtual' 'max-time 0:not a number*' 'max-time -1:not a number*' 'max-time 1s:not a number*' 'max-time nan:not a number*' \
	'max-time 1e300:not a number*' 'seed x:not a number*' 'seed 18446744073709551616:not a number*' 'seed 0x:not a number*' \
	'rtc yesterday:not a date*' 'rtc 2001-02-30:not a date*' 'rtc 1969-12-31:not a date*' 'rtc 2001-01-01T25\:00\:00:not a date*' 'rtc @-1:not a date*' \
	'rtc 2255-01-01:not a date*' \
	'net x:none of none*' 'net tap=:none of none*' 'display gtk:neither none nor text' \
	'restore f:needs --time virtual' 'save f:not FILE@COUNT' 'irqchip split:neither user nor kernel' 'switch interp\:bt:not A?B@EVENT' 'switch interp@exits=1:not A?B@EVENT' 'switch interp\:bt@c:behind the @*' 'switch interp\:bt@exits=:behind the @*' 'switch interp\:bt@exits=x:behind the @*' 'switch interp\:bt@serial=:behind the @*' \
	'bt-sensitive never:neither trap, call nor inline' 'bt-cache 0:not from 2M to 128M' 'bt-cache 2047K:not from 2M to 128M' 'bt-cache 129M:not from 2M to 128M' 'bt-cache 16777216G:not from 2M to 128M' 'bt-cache 4T:not a size*' 'bt-cache -1:not a size*' 'pv xen:neither kvm nor none' 'balloon 1x:neither auto nor a size' 'balloon 0:neither auto nor a size' 'share a/b:a group*' 'share .x:a group*' 'share a,b:behind the name*' 'share a,limit=0:behind the name*'; do
	# OPTION VALUE:WHY, where a colon of the value has a backslash
	why=$(printf %s "$option" | sed 's/\\:/;/g; s/^[^:]*://')
	text=$(printf %s "$option" | sed 's/\\:/;/g; s/:.*//; s/;/:/g')
	run 2 "--$text: $why" "--${text%% *}" "${text#* }"
done
refused 2 'check: a guest that moves*' check --engines interp,bt --kernel "$hello" --switch interp:bt@exits=1
run 2 'engine bochs: no such engine' --switch interp:bochs@exits=1
run 2 '--switch interp:bt: the guest runs on bt then' --engine bt --switch interp:bt@exits=1
run 2 '--switch interp:bt: the guest runs on bt then' --switch interp:bt@exits=1 --switch interp:bt@exits=2
run 4 'engine kvm: cannot count*' --time virtual --switch interp:kvm@exits=1
run 2 '--input-log f: needs --time virtual' --input-log f
run 2 '--restore*: needs --time virtual' --restore f
run 2 '--engine a?b: no such engine' --engine "$(printf 'a\nb')"

run 2 '--disk f: x: none of readonly, *' --disk f,x
run 2 '--disk : no file given' --disk ,readonly
head -c 4096 /dev/zero >"$work/blank"
run 2 'screenshot f: a machine without firmware*' --screenshot f
run 2 'IDE: the microvm has none' --machine microvm --disk "$work/blank,bus=ide"

run 2 '--net user: hostfwd is not *' --net user,hostfwd=tcp:1
run 2 '--net user: behind the comma*' --net user,x
run 2 'net: needs --time real*' --net user --time virtual
run 3 'tap trine-none: no such interface' --net tap=trine-none
run 2 'hostfwd tcp:1.2.3.x:5: not an IPv4 address' --net user,hostfwd=tcp:1.2.3.x:5-:5
if command -v python3 >/dev/null; then
	python3 -c 'import socket,time; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(60)' >"$work/port" &
	holder=$!
	until [ -s "$work/port" ]; do sleep 0.2; done
	run 3 "hostfwd tcp:127.0.0.1:$(cat "$work/port"): Address already in use" --net "user,hostfwd=tcp:127.0.0.1:$(cat "$work/port")-:22"
	kill $holder
else
	untried="$untried; a port in use: python3 is not installed"
fi

# Disks: missing, a folder, empty, of odd size, without permission, locked, of another kind, a server that is not there.
mkdir "$work/d"
: >"$work/d/empty"
head -c 1000 /dev/zero >"$work/d/odd"
head -c 8192 /dev/zero >"$work/d/fine"
printf 'QFI\373\0\0\0\003corrupt' >"$work/d/corrupt.qcow2"
mkfifo "$work/d/fifo"
disk() { run 3 "$1: $2" --disk "$1${3-}"; }
disk "$work/d/missing" 'No such file or directory'
disk "$work/d" 'is a directory'
disk "$work/d" 'is a directory' ,readonly
disk "$work/d/empty" 'is empty'
disk "$work/d/odd" 'its size, 1000 bytes, is no multiple of 512'
disk "$work/d/fifo" 'is neither a file nor a block device'
disk /dev/null 'is neither a file nor a block device'
if command -v qemu-nbd >/dev/null; then
	disk "$work/d/corrupt.qcow2" '*: Unsupported cluster size: 2^0'
	qemu-img create -q -f qcow2 "$work/d/held.qcow2" 1M || fail "qemu-img"
	run 3 "$work/d/held.qcow2: Is another process using the image*" --disk "$work/d/held.qcow2" --disk "$work/d/held.qcow2"
else
	disk "$work/d/corrupt.qcow2" '*is not installed*'
	untried="$untried; a qcow2 in use: qemu-nbd is not installed (package qemu-utils)"
fi
run 3 'nbd://127.0.0.1:9/: *' --disk nbd://127.0.0.1:9/
mkdir "$work/lib" && : >"$work/lib/libnbd.so.0"
export LD_LIBRARY_PATH="$work/lib"
run 3 'nbd://127.0.0.1:9/: *libnbd.so.0: file too short' --disk nbd://127.0.0.1:9/
unset LD_LIBRARY_PATH
if [ "$(id -u)" = 0 ]; then # root may write everywhere, until it gives that up
	chmod 444 "$work/d/fine"
	readonly_to_us='setpriv --bounding-set -all --inh-caps -all --reuid 65534 --regid 65534 --clear-groups'
	chmod 755 "$work" "$work/d"
	err=$($readonly_to_us "$trine" run --kernel "$hello" --disk "$work/d/fine" 2>&1 </dev/null)
	[ $? = 3 ] && [ "$err" = "trine: $work/d/fine: Permission denied" ] || fail "a disk that may not be written: $err"
	chmod 644 "$work/d/fine"
else
	chmod 444 "$work/d/fine"
	disk "$work/d/fine" 'Permission denied'
	chmod 644 "$work/d/fine"
fi
run 3 "$work/d/fine: is in use by another virtual machine" --disk "$work/d/fine" --disk "$work/d/fine"
run 3 "$work/d/fine: is in use by another virtual machine" --disk "$work/d/fine,readonly" --disk "$work/d/fine"

# Files: missing, a folder, empty, of the wrong kind, cut short, without permission, too large.
missing=$work/missing
: >"$work/empty"
echo 'no kernel' >"$work/text"
head -c 600 "$hello" >"$work/cut"
head -c 65536 /dev/urandom >"$work/random"
kernel() { refused 3 "$2" run --kernel "$1" --memory 16M; }
kernel "$missing" "$missing: No such file or directory"
kernel "$work" "$work: is a directory"
kernel "$work/empty" "$work/empty: is empty"
kernel "$work/text" "$work/text: not a bootable kernel*"
kernel "$work/cut" "$work/cut: *"
kernel "$work/random" "$work/random: not a bootable kernel*"
kernel "$work/text/x" "$work/text/x: Not a directory"
kernel /dev/zero "/dev/zero: larger than the guest's memory"
kernel /dev/null '/dev/null: is empty'
ln -s loop "$work/loop"
kernel "$work/loop" "$work/loop: Too many levels of symbolic links"
long=$(printf '%05000d' 0)
kernel "$long" '*: File name too long'
for option in initrd stats record-input serial; do
	value=$missing/x
	[ "$option" != serial ] || value=file:$missing/x
	run 3 "$missing/x: No such file or directory" "--$option" "$value"
	[ "$option" != initrd ] || continue
	value=$work
	[ "$option" != serial ] || value=file:$work
	run 3 "$work: Is a directory" "--$option" "$value"
done
run 3 "$missing: No such file or directory" --time virtual --input-log "$missing"
run 3 "$work: *" --time virtual --input-log "$work"
run 3 "$work/random:*" --time virtual --input-log "$work/random"
run 3 "$work/text:1: *" --time virtual --input-log "$work/text"
run 3 "$work: is a directory" --initrd "$work"
run 3 "$work/empty: is empty" --initrd "$work/empty"
run 3 "$missing: No such file or directory" --initrd "$work/text,$missing"
truncate -s 64M "$work/large"
run 3 "$work/large: no room for its 67108864 bytes*" --initrd "$work/large" --memory 32M
run 3 "$work/text: Address already in use" --serial "unix:$work/text"
run 3 "$missing/s: No such file or directory" --serial "unix:$missing/s"
run 2 "*: a socket's name has at most *" --serial "unix:$work/$(printf '%0120d' 0)"
run 2 'gdb: 1234: none of *' --gdb 1234
run 2 'gdb: localhost:: none of *' --gdb localhost:
run 2 'gdb: :http:*' --gdb :http
run 2 'gdb: unix:: a socket*' --gdb unix:
run 3 "gdb: $missing/s: No such file or directory" --gdb "unix:$missing/s"
run 3 "gdb: $work/text: Address already in use" --gdb "unix:$work/text"
run 3 'gdb: 192.0.2.1:1: Cannot assign requested address' --gdb 192.0.2.1:1
[ -f "$work/text" ] || fail "a file was taken for an old socket"

# Debian's kernel in too little memory, and cut short.
if [ -f "$cache/vmlinuz" ]; then
	refused 3 "$cache/vmlinuz: the kernel needs *, the guest's memory below 4G ends at 0x1000000" run --kernel "$cache/vmlinuz" --memory 16M
	head -c 1000000 "$cache/vmlinuz" >"$work/short"
	refused 3 "$work/short: truncated bzImage*" run --kernel "$work/short"
else
	untried="$untried; Debian's kernel: tools/guest/prepare fetches it"
fi

# What is neutral is accepted.
"$trine" run --kernel "$hello" --debug-exit --quiet --net none --display none --cpus 1 --irqchip user --pv none --machine pc --engine auto --memory=1G \
	</dev/null >"$work/out" 2>&1
[ $? = 33 ] || fail "neutral values: $(cat "$work/out")"
[ -z "$untried" ] || { echo "$cases cases passed, not tried:${untried#;}" && exit 77; }
echo "$cases cases"
