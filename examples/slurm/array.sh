#!/usr/bin/env bash
# One worker an array task, on as many nodes as Slurm gives: all on one study.
#
#   sbatch examples/slurm/array.sh STUDY.yaml [KEY=VALUE]...
#
# The store: a PostgreSQL that all nodes reach, its URL in DRMAD_STORAGE (`drmad store start --bind`
# in a job of its own writes it into a file that only you can read), or journal:FILE on a shared
# file system. SQLite is for one machine.
#
# 120 s before the time is over Slurm sends USR1 to this shell (B:). The worker gives its trials
# back and ends with 75; they go on in whatever task comes next, this one among them: it is put
# back into the queue.
#SBATCH --job-name=drmad
#SBATCH --array=0-7
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -u

if [ -z "${DRMAD_STORAGE:-}" ] && [ -r "${DRMAD_STORAGE_FILE:-$HOME/.drmad-store}" ]; then
    DRMAD_STORAGE=$(cat "${DRMAD_STORAGE_FILE:-$HOME/.drmad-store}")
    export DRMAD_STORAGE
fi

# A shell runs a trap only between commands, so the worker is waited for in the background.
drmad worker "$@" &
worker=$!
trap 'kill -USR1 "$worker" 2>/dev/null' USR1
trap 'kill -TERM "$worker" 2>/dev/null' TERM
while kill -0 "$worker" 2>/dev/null; do wait "$worker"; done # a signal ends a wait early
wait "$worker"
status=$?

if [ "$status" = 75 ]; then
    job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}
    scontrol requeue "$job${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
fi
exit "$status"
