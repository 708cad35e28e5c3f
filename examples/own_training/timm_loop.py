"""timm's optimizers and schedules as train.entry; with model.name = "timm:create_model" also its networks."""

from timm.optim import create_optimizer_v2  # pyright: ignore[reportMissingImports]
from timm.scheduler import create_scheduler_v2  # pyright: ignore[reportMissingImports]
from torch.nn.functional import cross_entropy

from lth.training.entry import Job


def train(job: Job) -> None:
    optimizer = create_optimizer_v2(job.model, opt="adamw", lr=2e-3, weight_decay=0.05)
    job.enforce(optimizer)
    schedule, _ = create_scheduler_v2(
        optimizer, sched="cosine", num_epochs=job.last_step // job.steps_per_epoch,
        updates_per_epoch=job.steps_per_epoch, step_on_epochs=False,
    )  # fmt: skip
    for step in range(job.first_step, job.last_step):
        schedule.step_update(step)  # a rewound ticket enters the schedule at its own step
        images, labels = job.batch_at(step)
        loss = cross_entropy(job.model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        job.after_step(step)
        if (step + 1) % job.steps_per_epoch == 0:
            job.log(step, train_loss=loss)
    # nothing is returned: lth evaluates the network on the data of the spec
