"""A Lightning module and trainer as train.entry, resumed from Lightning's own checkpoint."""

import logging
import warnings

import lightning  # pyright: ignore[reportMissingImports]
import torch
from lightning.pytorch.callbacks import ModelCheckpoint  # pyright: ignore[reportMissingImports]
from torch.nn.functional import cross_entropy

from lth.training.entry import Job


class Module(lightning.LightningModule):
    def __init__(self, job: Job):
        super().__init__()
        self.model, self.job = job.model, job

    def training_step(self, batch, _):
        images, labels = batch
        return cross_entropy(self.model(images), labels)

    def configure_optimizers(self):
        job, first = self.job, self.job.first_step
        optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0, momentum=0.9, weight_decay=1e-3)
        job.enforce(optimizer)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda taken: job.learning_rate(first + taken))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_batch_end(self, outputs, batch, number):
        step = self.job.first_step + self.global_step - 1
        self.job.after_step(step)
        if (step + 1) % self.job.steps_per_epoch == 0:
            self.job.log(step, train_loss=outputs["loss"])


class Batches(torch.utils.data.IterableDataset):
    """The batches of one epoch; at a resumed start, those that are left."""

    def __init__(self, job: Job, module: Module):
        self.job, self.module = job, module

    def __iter__(self):
        first = self.job.first_step + self.module.global_step
        epoch = first // self.job.steps_per_epoch
        for step in range(first, (epoch + 1) * self.job.steps_per_epoch):
            yield self.job.batch_at(step)


def train(job: Job) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    module, saved = Module(job), job.folder / "last.ckpt"
    trainer = lightning.Trainer(
        max_steps=job.last_step - job.first_step, accelerator=job.device.type, devices=1, logger=False,
        callbacks=[ModelCheckpoint(job.folder, save_last=True)],
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    batches = torch.utils.data.DataLoader(Batches(job, module), batch_size=None)
    trainer.fit(module, batches, ckpt_path=str(saved) if saved.exists() else None, weights_only=True)
    job.model.to(job.device)
