#!/bin/bash
# LSF: one array of as many jobs as there are workers with something to do. bsub reads the script from its input.
#   submit = "bsub < {script}"
#   cancel = "bkill {id}"
#BSUB -J "@NAME@[1-@WORKERS@]"
#BSUB -n 8
#BSUB -gpu "num=1"
#BSUB -W 12:00
#BSUB -o "@RUN@/template/%J-%I.log"
cd "@FOLDER@" || exit 1
export OMP_NUM_THREADS=1
exec @WORK@ --walltime 715             # minutes; a little less than the job has, so that the worker saves in time
