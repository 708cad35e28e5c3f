#!/bin/bash
# PBS (OpenPBS, PBS Professional): one job a worker.
#   submit = "qsub {script}"
#   cancel = "qdel {id}"
#PBS -N @NAME@-@INDEX@
#PBS -l select=1:ncpus=8:mem=32gb:ngpus=1
#PBS -l walltime=12:00:00
#PBS -j oe
#PBS -o @RUN@/template/
cd "@FOLDER@" || exit 1
# module load cuda                     what your site needs before Python starts
export OMP_NUM_THREADS=1
exec @WORK@ --walltime 715             # minutes; a little less than the job has, so that the worker saves in time
