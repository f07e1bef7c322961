#!/usr/bin/env bash
# Test a checkpoint as a Slurm job and wait for it. The variables it reads are listed in slurm_launch.sh.
set -euo pipefail
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/slurm_launch.sh"

read_arguments "$@"
set -- "${arguments[@]}"
[ $# -ge 4 ] || usage "$0 PARTITION JOB_NAME CONFIG CHECKPOINT [--dry-run] [options of tools/test.py]"
check_file config "$3"
[[ $4 == *://* ]] || check_file checkpoint "$4"
read_request "$1" "$2"
set_command test.py "${@:3}"
run_command
