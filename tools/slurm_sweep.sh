#!/usr/bin/env bash
# Train several configs, each with every seed of SEEDS='0 1 2', as one job array. Each is a job of slurm_train.sbatch.
# WORK_DIR=work_dirs/JOB_NAME gets a folder for each; MAX_RUNNING=2 limits how many run at a time.
# The other variables it reads are listed in slurm_launch.sh; SRUN_ARGS are options of sbatch here.
set -euo pipefail
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/slurm_launch.sh"

read_arguments "$@"
set -- "${arguments[@]}"
configs=()
for argument in "${@:3}"; do
    [[ $argument != -* ]] || break
    check_file config "$argument"
    configs+=("$argument")
done
[ ${#configs[@]} -ge 1 ] || usage "$0 PARTITION JOB_NAME CONFIG [CONFIG ...] [--dry-run] [options of tools/train.py]"
options=("${@:3+${#configs[@]}}")
read_request "$1" "$2"
check_number MAX_RUNNING "${MAX_RUNNING:-1}" 1
# Words on one line or several, of which none is a pattern for file names.
read -rd '' -a seeds <<< "${SEEDS:-}" || true
for seed in "${seeds[@]}"; do
    # As numpy takes it.
    check_number 'a seed of SEEDS' "$seed" 0 4294967295
done

# The arguments of each training, quoted for a shell.
trainings=()
declare -A owners
for config in "${configs[@]}"; do
    # Without SEEDS, once with the seed of the config.
    for seed in "${seeds[@]:-}"; do
        work_dir=${WORK_DIR:-work_dirs/$2}/$(basename "$config" .py)${seed:+-seed$seed}
        [ -z "${owners[$work_dir]:-}" ] ||
            die "$config and ${owners[$work_dir]} would share $work_dir; rename a config, and name each seed once"
        owners[$work_dir]=$config
        training=("$config" --work-dir "$work_dir" "${options[@]}" ${seed:+--cfg-options "randomness.seed=$seed"})
        trainings+=("$(printf '%q ' "${training[@]}")")
    done
done

print_script() {
    echo '#!/usr/bin/env bash'
    grep -E '^#SBATCH --(requeue|open-mode|signal)' "$tools/slurm_train.sbatch"
    echo 'case $SLURM_ARRAY_TASK_ID in'
    for i in "${!trainings[@]}"; do
        echo "    $i) set -- ${trainings[i]};;"
    done
    echo 'esac'
    printf 'exec bash %q "$@"\n' "$tools/slurm_train.sbatch"
}

last=$((${#trainings[@]} - 1))
command=(sbatch "${request[@]}" --array="0-$last${MAX_RUNNING:+%$MAX_RUNNING}")
if [ "$dry_run" != 0 ]; then
    print_command
    print_script
    exit
fi
check_installed
print_script | "${command[@]}"
