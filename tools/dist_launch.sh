# Sourced by dist_train.sh and dist_test.sh.

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$tools/check_number.sh"

# launch PROCESSES TOOL ARGUMENTS...: start a tool of this folder with torchrun.
launch() {
    local processes=$1 tool=$2 nodes=${NNODES:-1} node=${NODE_RANK:-0} argument arguments=() dry_run=
    shift 2
    for argument in "$@"; do
        if [[ $argument == --dry-run ]]; then dry_run=1; else arguments+=("$argument"); fi
    done
    # On a CPU it is the number of processes.
    check_number GPUS "$processes" 1
    check_number NNODES "$nodes" 1
    check_number NODE_RANK "$node" 0 $((nodes - 1))
    check_number PORT "${PORT:-29500}" 1 65535
    check_number MAX_RESTARTS "${MAX_RESTARTS:-0}" 0
    check_number JOIN_TIMEOUT "${JOIN_TIMEOUT:-600}" 1
    if ((nodes > 1)) && [[ -z ${MASTER_ADDR:-} || -z ${NODE_RANK:-} ]]; then
        die "NNODES=$nodes needs NODE_RANK, and MASTER_ADDR: the address of node 0"
    fi

    local torchrun=("${PYTHON:-python}" "$tools/torchrun.py" --nproc-per-node "$processes" --max-restarts "${MAX_RESTARTS:-0}")
    if ((nodes == 1)); then
        # Port 0 stands for a free one.
        torchrun+=(--master-port "${PORT:-0}")
    else
        torchrun+=(--nnodes "$nodes" --node-rank "$node" --master-addr "$MASTER_ADDR" --master-port "${PORT:-29500}")
        # The id keeps jobs apart that meet on one port.
        torchrun+=(--rdzv-id "${RDZV_ID:-mmattn}" --rdzv-conf "timeout=${JOIN_TIMEOUT:-600}")
    fi
    torchrun+=("$tools/$tool" "${arguments[@]}" --launcher pytorch)
    if [[ -n $dry_run ]]; then
        printf '%q ' "${torchrun[@]}" | sed 's/ $/\n/'
        return
    fi
    PYTHONPATH=$(dirname "$tools")${PYTHONPATH:+:$PYTHONPATH} exec "${torchrun[@]}"
}
