# What slurm_train.sh, slurm_test.sh, slurm_train.sbatch and slurm_sweep.sh share; they source it.
#
# Variables of slurm_train.sh, slurm_test.sh and slurm_sweep.sh:
#   GPUS=8                          GPUs in all, one task for each; 0 for a job on CPUs
#   GPUS_PER_NODE=8                 GPUs of a node
#   NTASKS=1                        tasks of a job on CPUs, all on one node
#   CPUS_PER_TASK=5                 CPUs for a task and its data loaders
#   ACCOUNT QOS TIME CONSTRAINT     the options of srun with these names
#   SRUN_ARGS                       more options of srun, quoted as in a shell; they win over the ones above
#   PYTHON=python  MASTER_ADDR  MASTER_PORT
#   DRY_RUN=1                       as --dry-run: print what would be run

tools=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source "$tools/check_number.sh"
export PYTHONPATH=$(dirname "$tools")${PYTHONPATH:+:$PYTHONPATH}

usage() {
    echo "usage: $*" >&2
    exit 2
}

check_file() {
    local path=$2
    # One that comes with the package, whose configs lie beside its tools.
    [[ $path != mmattn::* ]] || path=$(dirname "$tools")/configs/${path#mmattn::}
    [ -f "$path" ] || die "$1 $2 is not a file; check the path"
}

# Set $dry_run, and $arguments to what is left without --dry-run.
read_arguments() {
    dry_run=${DRY_RUN:-0} arguments=()
    local argument
    for argument; do
        if [ "$argument" = --dry-run ]; then dry_run=1; else arguments+=("$argument"); fi
    done
}

# Set $request to the options for partition $1 and job name $2, $tasks and $per_node to the number of tasks.
read_request() {
    local gpus=${GPUS:-8} gpus_per_node=${GPUS_PER_NODE:-8} cpus=${CPUS_PER_TASK:-5} name options
    check_number GPUS "$gpus" 0
    check_number GPUS_PER_NODE "$gpus_per_node" 1
    check_number CPUS_PER_TASK "$cpus" 1
    check_number NTASKS "${NTASKS:-1}" 1
    if [ "$gpus" -eq 0 ]; then
        tasks=${NTASKS:-1} per_node=$tasks
    else
        [ -z "${NTASKS:-}" ] || die "NTASKS=$NTASKS is for jobs on CPUs, GPUS=0; with GPUs there is one task for each"
        tasks=$gpus per_node=$((gpus < gpus_per_node ? gpus : gpus_per_node))
        [ $((tasks % per_node)) -eq 0 ] ||
            die "GPUS=$gpus is not a multiple of GPUS_PER_NODE=$gpus_per_node; set GPUS_PER_NODE to a divisor of $gpus"
    fi
    request=(
        --partition="$1"
        --job-name="$2"
        --nodes=$((tasks / per_node))
        --ntasks="$tasks"
        --ntasks-per-node="$per_node"
        --cpus-per-task="$cpus"
    )
    for name in ACCOUNT QOS TIME CONSTRAINT; do
        [ -z "${!name:-}" ] || request+=("--${name,,}=${!name}")
    done
    options=$(xargs -r printf '%s\n' <<< "${SRUN_ARGS:-}" 2> /dev/null) || die "SRUN_ARGS=$SRUN_ARGS has a quote that does not end"
    # GPUs asked for in two ways are taken for a contradiction.
    grep -qE -- '^(--gres|--gpus|-G)' <<< "$options" || [ "$gpus" -eq 0 ] ||
        request+=(--gres=gpu:"$per_node")
    [ -z "$options" ] || mapfile -t -O ${#request[@]} request <<< "$options"
}

# Set $command to the tool $1 of this folder as a step of a job, with the options of srun in $request.
set_command() {
    command=(srun "${request[@]}" --kill-on-bad-exit=1 "${PYTHON:-python}" -u "$tools/$1" --launcher=slurm "${@:2}")
}

# Run $command, or only print it, and which rank is where.
run_command() {
    if [ "$dry_run" != 0 ]; then
        print_command
        print_ranks
        exit
    fi
    check_installed
    exec "${command[@]}"
}

print_command() {
    printf '%q ' "${command[@]}"
    echo
}

print_ranks() {
    local rank
    printf '%4s  %4s  %10s\n' rank node 'local rank'
    for ((rank = 0; rank < tasks; rank++)); do
        printf '%4d  %4d  %10d\n' "$rank" $((rank / per_node)) $((rank % per_node))
    done
}

check_installed() {
    command -v "${command[0]}" > /dev/null ||
        die "${command[0]} is not found; start this where Slurm is installed, or see what it would run with --dry-run"
}
