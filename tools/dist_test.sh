#!/usr/bin/env bash
# Test with one process per GPU, or with several processes on a CPU.
set -euo pipefail
if (($# < 3)); then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [arguments of test.py] [--dry-run]
several nodes: NNODES=2 NODE_RANK=0 MASTER_ADDR=ADDRESS_OF_NODE_0 [PORT=29500] $0 ..." >&2
    exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/dist_launch.sh"
launch "$3" test.py "$1" "$2" "${@:4}"
