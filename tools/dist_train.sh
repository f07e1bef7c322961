#!/usr/bin/env bash
# Train with one process per GPU, or with several processes on a CPU.
set -euo pipefail
if (($# < 2)); then
    echo "usage: $0 CONFIG GPUS [arguments of train.py] [--dry-run]
several nodes: NNODES=2 NODE_RANK=0 MASTER_ADDR=ADDRESS_OF_NODE_0 [PORT=29500] $0 ...
MAX_RESTARTS=3 starts all processes again when one fails; JOIN_TIMEOUT=600 is how many seconds the nodes have to appear" >&2
    exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/dist_launch.sh"
launch "$2" train.py "$1" "${@:3}"
