"""SLURM: scripts, submission, the queue, and what a worker does inside a job."""
