#!/bin/sh
# No scheduler at all: a worker that outlives the terminal, on this machine or, with ssh in front, on another.
#   submit = "setsid nohup sh {script} >/dev/null 2>&1 & echo $!"
#   cancel = "kill {id}"
cd "@FOLDER@" || exit 1
export OMP_NUM_THREADS=1
exec @WORK@ >>"@RUN@/template/worker-@INDEX@.log" 2>&1
