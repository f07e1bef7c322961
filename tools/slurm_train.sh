#!/usr/bin/env bash
# Train as a Slurm job and wait for it. The variables it reads are listed in slurm_launch.sh.
set -euo pipefail
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/slurm_launch.sh"

read_arguments "$@"
set -- "${arguments[@]}"
[ $# -ge 3 ] || usage "$0 PARTITION JOB_NAME CONFIG [--dry-run] [options of tools/train.py]"
check_file config "$3"
read_request "$1" "$2"
set_command train.py "${@:3}"
run_command
