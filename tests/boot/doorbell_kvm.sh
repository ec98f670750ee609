#!/bin/sh
# The guest `doorbell` on --engine kvm: its notifications cost no exit, and what it sees is the same.
# usage: doorbell_kvm.sh TRINE IMAGE MACHINE
. "$(dirname -- "$0")/lib.sh"
sh "$(dirname -- "$0")/guest_kvm.sh" "$1" "$2" 33 --machine "$3" --append "requests=100 pci.64 mmio.64" --stats "$work/stats" || exit
exits=$(awk '/"mmio": \{/ { mmio = 1 } /"count"/ && mmio { print $2 + 0; exit }' "$work/stats")
expect "MMIO exits, of 100 requests and more" '<' 60 "$exits"
