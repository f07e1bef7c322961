# Sourced by dist_train.sh and dist_test.sh.

die() {
    echo "error: $1" >&2
    exit 1
}

# launch PROCESSES TOOL ARGUMENTS...: start a tool of this folder with torchrun.
launch() {
    local processes=$1 tool=$2 nodes=${NNODES:-1} node=${NODE_RANK:-0} argument arguments=() dry_run=
    shift 2
    for argument in "$@"; do
        if [[ $argument == --dry-run ]]; then dry_run=1; else arguments+=("$argument"); fi
    done
    [[ $processes =~ ^[1-9][0-9]*$ ]] || die "GPUS has to be a number from 1 on, got '$processes'; on a CPU it is the number of processes"
    [[ $nodes =~ ^[1-9][0-9]*$ ]] || die "NNODES has to be a number from 1 on, got '$nodes'"
    [[ $node =~ ^[0-9]+$ && $node -lt $nodes ]] || die "NODE_RANK has to be from 0 to $((nodes - 1)), got '$node'"
    if ((nodes > 1)) && [[ -z ${MASTER_ADDR:-} || -z ${NODE_RANK:-} ]]; then
        die "NNODES=$nodes needs NODE_RANK, and MASTER_ADDR: the address of node 0"
    fi

    local tools root python=${PYTHON:-python}
    tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    root=$(dirname "$tools")
    local torchrun=("$python" "$tools/torchrun.py" --nproc-per-node "$processes" --max-restarts "${MAX_RESTARTS:-0}")
    if ((nodes == 1)) && [[ -z ${PORT:-} ]]; then
        # It finds a free port.
        torchrun+=(--standalone)
    else
        local port=${PORT:-29500} address=${MASTER_ADDR:-127.0.0.1} hosts=$((node == 0))
        # The id keeps jobs apart that meet on one port.
        torchrun+=(--nnodes "$nodes" --node-rank "$node" --rdzv-backend c10d --rdzv-endpoint "$address:$port")
        torchrun+=(--rdzv-id "${RDZV_ID:-mmattn}")
        torchrun+=(--rdzv-conf "is_host=$hosts,join_timeout=${JOIN_TIMEOUT:-600},read_timeout=${JOIN_TIMEOUT:-600}")
        if ((hosts)) && [[ -z $dry_run ]]; then
            # torchrun would take whatever listens there for its own.
            "$python" -c "import socket; socket.create_server(('', $port))" 2> /dev/null ||
                die "port $port of $(hostname) is taken; choose another one: PORT=$((port + 1))"
        fi
    fi
    torchrun+=("$tools/$tool" "${arguments[@]}" --launcher pytorch)
    if [[ -n $dry_run ]]; then
        printf '%q ' "${torchrun[@]}" | sed 's/ $/\n/'
        return
    fi
    PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "${torchrun[@]}"
}
