# The array script as Slurm runs it: USR1 goes to its shell, 75 puts the task back into the queue,
# the next run goes on with the trial. scontrol is one that writes down what it is asked.
mkdir bin
printf '#!/bin/sh\necho "scontrol $*" >>asked\n' >bin/scontrol
chmod +x bin/scontrol
export PATH="$PWD/bin:$PATH" SLURM_JOB_ID=41 SLURM_ARRAY_JOB_ID=40 SLURM_ARRAY_TASK_ID=3
export SLURM_CPUS_PER_TASK=1
(umask 077 && echo "sqlite:$PWD/s.db" >url)
export DRMAD_STORAGE_FILE=url
cat >run.sh <<'RUN'
cd "$DRMAD_TRIAL_DIR" || exit 1
trap 'exit 75' TERM
echo . >>lives
[ "$(wc -l <lives)" = 2 ] && { echo "{\"value\": $1}"; exit; }
echo >"$OLDPWD/started"
while :; do sleep 0.05; done
RUN
sed '/^store:/d; s|^  cmd:.*|  cmd: sh run.sh {x}|' "$ROOT/tests/cli/search.yaml" >study.yaml
bash "$ROOT/examples/slurm/array.sh" study.yaml search.trials=1 -q &
task=$!
for _ in $(seq 600); do [ -e started ] && break; sleep 0.05; done
before=$(date +%s)
kill -USR1 "$task"
status=0
wait "$task" || status=$?
echo "status $status"
[ $(($(date +%s) - before)) -lt 30 ] && echo 'within 30 s'
cat asked
bash "$ROOT/examples/slurm/array.sh" study.yaml search.trials=1 -q | sed -n '2,3p'
wc -l <asked
grep '^#SBATCH' "$ROOT/examples/slurm/array.sh" | grep -c -e '--signal=B:USR1@120$' -e '--requeue$'
