"""What a run writes while it goes on: its log, curves for TensorBoard, and where to go on from.

Lines of measures enter; recipe.toml, log.jsonl, tensorboard/, checkpoint.safetensors and snapshot/
are what is left of them in the run's folder.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from mfas.config import recipe_to_toml
from mfas.errors import RunError
from mfas.pretrain.loop import Trainer
from mfas.pretrain.transcripts import ErrorRates
from mfas.storage import write_text

RECIPE, LOG, CURVES = "recipe.toml", "log.jsonl", "tensorboard"
CHECKPOINT, SNAPSHOT = "checkpoint.safetensors", "snapshot"
Progress = Callable[[str, int, int], None]  # what, done, total


class Journal:
    """Goes on behind the update where `trainer` stands; silent beside the main process.

    validate: error rates of held-out speakers, if there are any. Raises `RunError` if the log does
    not reach that update.
    """

    def __init__(
        self,
        out: Path,
        trainer: Trainer,
        validate: Callable[[], ErrorRates | None],
        progress: Progress,
    ) -> None:
        self.out, self.recipe, self.validate, self.progress = (
            out,
            trainer.recipe,
            validate,
            progress,
        )
        self.is_main = trainer.accelerator.is_main_process
        if not self.is_main:
            return
        self.lines = _earlier_lines(out / LOG, trainer.update)
        if trainer.update > (self.lines[-1]["update"] if self.lines else 0):
            raise RunError(f"{out / LOG}: ends before {CHECKPOINT}; name another --out")
        write_text(out / RECIPE, recipe_to_toml(self.recipe))
        write_text(out / LOG, "".join(json.dumps(line) + "\n" for line in self.lines))
        self.curves = _Curves(out / CURVES, trainer.update)

    def write(self, line: dict[str, Any]) -> None:
        """Add a line; error rates of held-out speakers join it now and then."""
        if not self.is_main:
            return
        update = line["update"]
        if update % self.recipe.ctc.validate_every == 0 and (rates := self.validate()) is not None:
            line = {**line, "cer": rates.cer, "wer": rates.wer}
        self.lines.append(line)
        with (self.out / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        self.curves.add(line)
        self.progress(f"updates: loss {line['loss']:.3f}", update, self.recipe.optimize.updates)

    def save(self, trainer: Trainer) -> None:
        """Write a checkpoint, and the encoder as it is now."""
        if self.is_main:
            trainer.save(self.out / CHECKPOINT)
            trainer.encoder.save(self.out / SNAPSHOT)

    def close(self) -> None:
        """No more lines will come."""
        if self.is_main:
            self.curves.close()


class _Curves:
    """Scalars of every line for TensorBoard, in a file for each time the run is taken up.

    Written at once: `SummaryWriter` writes in a thread, and a run whose disk is full would wait for
    it without end.
    """

    def __init__(self, folder: Path, update: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._events = EventsWriter(str(folder / "events"), filename_suffix=f".{update}")
        self._write(Event(step=update + 1, session_log=SessionLog(status=SessionLog.START)))

    def add(self, line: dict[str, Any]) -> None:
        """One point for each measure."""
        values = [Summary.Value(tag=k, simple_value=v) for k, v in line.items() if k != "update"]
        self._write(Event(step=line["update"], summary=Summary(value=values)))

    def close(self) -> None:
        self._events.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._events.write_event(event)
        self._events.flush()


def _earlier_lines(log: Path, update: int) -> list[dict[str, Any]]:
    """The lines of a log up to `update`; a line that a kill left unfinished is behind it."""
    lines: list[dict[str, Any]] = []
    for text in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return [line for line in lines if line["update"] <= update]
