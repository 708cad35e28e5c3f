"""A plain PyTorch loop as train.entry: optimizer, checkpoint of its own, nothing else."""

import os

import torch
from torch.nn.functional import cross_entropy

from lth.training.entry import Job


def train(job: Job) -> dict[str, float]:
    model = job.model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
    saved, first = job.folder / "last.pt", job.first_step
    if saved.exists():  # an earlier try was killed: go on from its checkpoint
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    job.enforce(optimizer)  # the pruned weights stay 0 from here on

    for step in range(first, job.last_step):
        for group in optimizer.param_groups:
            group["lr"] = job.learning_rate(step)
        images, labels = job.batch_at(step)
        loss = cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        job.after_step(step)
        if (step + 1) % job.steps_per_epoch == 0:
            job.log(step, train_loss=loss.item(), **scores(model, "validation", job.validation()))
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, saved.with_suffix(".new"))
            os.replace(saved.with_suffix(".new"), saved)  # a kill leaves the old checkpoint or the new one

    return {**scores(model, "validation", job.validation()), **scores(model, "test", job.test())}


@torch.no_grad()
def scores(model, part, batches) -> dict[str, float]:
    model.eval()
    loss = right = n = 0
    for images, labels in batches:
        logits = model(images)
        loss += cross_entropy(logits, labels, reduction="sum").item()
        right += (logits.argmax(1) == labels).sum().item()
        n += len(labels)
    model.train()
    return {f"{part}_top1": right / n, f"{part}_loss": loss / n}
