"""The ticket file of the selected cell."""

from __future__ import annotations

from lth.grid.next import cell
from lth.results.selection import Selection
from lth.runs.records import CellResult
from lth.spec.identity import digest, experiment
from lth.spec.step import Step
from lth.tickets.header import Accuracy, Parent, TicketData, TicketHeader, TicketModel
from lth.tickets.ticket import Ticket
from lth.training.checkpoint import load_state
from lth.training.masks import ticket_mask
from lth.training.workspace import Workspace


def winning_ticket(work: Workspace, selection: Selection) -> Ticket | None:
    """Returns the selected cell's ticket, None where no cell was selected.

    Of the grid's seeds it is the one with the best validation accuracy, ties to the first: a choice made on
    validation data, as the header's accuracies are means over seeds. It holds rewound and trained weights.
    """
    if selection.sparsity is None or selection.rewind is None:
        return None
    done = work.run.results().done
    cells = [cell(work.spec, (None, selection.rewind, selection.sparsity, seed)) for seed in work.spec.seeds]
    best = max((done[one.id] for one in cells if one.id in done), key=lambda result: result.validation_top1)
    mask = ticket_mask(work, next(one for one in cells if one.id == best.id)).mask
    rewound = work.dense_state(best.seed, selection.rewind)
    trained = load_state(work.run.artefact(best, "weights.safetensors"))
    return Ticket(mask, rewound, trained, _header(work, selection, best))


def _header(work: Workspace, selection: Selection, best: CellResult) -> TicketHeader:
    resident, model = work.resident(best.seed), work.spec.model
    return TicketHeader(
        model=TicketModel(
            name=model.name,
            arguments=model.arguments,
            initialization=model.initialization,
            input_shape=resident.input_shape,
            classes=resident.classes,
        ),
        data=TicketData(
            dataset_id=best.dataset_id,
            source=work.spec.data.source.partition(":")[0],
            class_names=work.dataset.class_names,
            mean=tuple(resident.normalize.mean.flatten().tolist()),
            std=tuple(resident.normalize.deviation.flatten().tolist()),
        ),
        sparsity=best.sparsity or 0.0,
        density_prunable=best.density_prunable,
        density_all=best.density_all,
        density_effective=best.density_effective,
        rewind=best.rewind or Step(),
        seed=best.seed,
        confirmed_on=work.spec.confirmation_seeds if selection.confirmed else (),
        order=best.order,
        accuracies=_accuracies(selection),
        verdict=selection.verdict,
        parent=Parent(experiment=digest(experiment(work.spec)), cell=best.id, weights_sha256=best.weights_sha256),
    )


def _accuracies(selection: Selection) -> dict[str, Accuracy]:
    shown = selection.as_json()
    names = ("validation_top1", "dense_validation_top1", "test_top1", "dense_test_top1")
    return {name: Accuracy(mean=shown[name]) for name in names if shown[name] is not None}
