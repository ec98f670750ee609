#!/bin/sh
# ACPI's own compiler reads the tables: acpi_iasl.sh BOOT-TABLES-TEST. It disassembles them, and compiles the DSDT again: without a warning.
set -eu
program=$1
command -v iasl >/dev/null || { echo "iasl (acpica-tools) is not installed" && exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$program" "$work"
cd "$work"
iasl -d dsdt.aml facp.aml apic.aml >log 2>&1 || { cat log && exit 1; }
if grep -iE 'error|warning|invalid|unknown|corrupt|incorrect checksum' log ./*.dsl; then exit 1; fi
iasl -p again dsdt.dsl >log 2>&1 || { cat log && exit 1; }
grep -q '0 Errors, 0 Warnings' log || { cat log && exit 1; }
for word in _S5 PNP0A03 PNP0C0F _PRT LNKD LNRO0005 PNP0303 PNP0B00 PNP0501 C000 C001; do
	grep -q "$word" dsdt.dsl || { echo "the DSDT lacks $word" && exit 1; }
done
