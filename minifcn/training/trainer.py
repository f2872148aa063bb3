"""The training loop: steps, evaluations, checkpoints, and a log, resumable to the same bits.

The samples of a step, their order and augmentation, and the dropout masks are functions of the seed
and the number of the step. Nothing but the weights, the optimizer's arrays and a few numbers has to
be kept in order to continue as if nothing had happened; see ``checkpoints``.
"""
from __future__ import annotations

import functools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from minifcn import ops, progress
from minifcn.data import Augmentation, Batch, Sample, make_batch
from minifcn.files import held, untrusted
from minifcn.plotting import draw_curves
from minifcn.training import checkpoints
from minifcn.training.checkpoints import MOST_STEPS, Progress, RunState
from minifcn.training.log import Log, event_writer
from minifcn.training.metrics import MEANS, Metrics, confusion_matrix
from minifcn.training.optimizers import SGD, Adam
from minifcn.training.schedules import SCHEDULES

LAST, BEST = "last.safetensors", "best.safetensors"
NO_CHANGE = Augmentation()
SAVE_SECONDS = 300      # at most so much work is lost when the power fails
RANGES = {"steps": (1, MOST_STEPS), "batch": (1, 10_000), "accumulate": (1, 10_000),
          "seed": (0, 2**62), "evaluate_every": (0, MOST_STEPS), "patience": (0, MOST_STEPS)}
MOST_IMAGES = 10**7     # their order is drawn for each epoch


@dataclass(frozen=True)
class Recipe:
    """Everything besides the model and the data that decides the bits of a run.

    Parameters
    ----------
    steps : int
        Optimizer steps; each takes ``batch * accumulate`` images.
    batch : int
        Images that go through the network together; smaller ones are padded with ignored pixels.
    accumulate : int
        Batches whose gradients are added up before a step.
    optimizer : {"sgd", "adam"}
    rate, momentum, decay : float
        The optimizer's; ``momentum`` is Adam's beta1.
    schedule : {"constant", "poly", "step", "one-cycle"}
    reduction : {"mean", "sum", "sum_per_image"}
        Of the loss over valid pixels: "sum_per_image" is the paper's, which wants tiny rates.
    class_weights : tuple of float, optional
        Of each class in the loss, such as those of ``median_frequency``.
    augmentation : Augmentation
    seed : int
    evaluate_every : int
        Steps between two evaluations on the validation data; 0 for once an epoch.
    patience : int
        Stop early, after so many evaluations without a better mean IU; 0 for never.
    """

    steps: int
    batch: int = 1
    accumulate: int = 1
    optimizer: str = "sgd"
    rate: float = 1e-2
    momentum: float = 0.9
    decay: float = 5e-4
    schedule: str = "constant"
    reduction: str = "mean"
    class_weights: tuple[float, ...] | None = None
    augmentation: Augmentation = NO_CHANGE
    seed: int = 0
    evaluate_every: int = 0
    patience: int = 0

    def __post_init__(self):
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise ValueError(f"{name} must be a whole number, not {value!r}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
            if value > most:
                raise ValueError(f"{name} must be at most {most:,}, not {value}")
        for name in ("rate", "momentum", "decay"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, not {value!r}")
        if self.class_weights is not None and not all(
                isinstance(weight, Real) and 0 <= weight < math.inf
                for weight in self.class_weights):
            raise ValueError("class_weights must be finite numbers of at least 0, "
                             f"not {self.class_weights}")
        choices = {"optimizer": ("sgd", "adam"), "schedule": tuple(SCHEDULES),
                   "reduction": ("mean", "sum", "sum_per_image")}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} is not one of {', '.join(known)}")

    @classmethod
    def from_dict(cls, values: dict) -> Recipe:
        """The inverse of ``dataclasses.asdict``, also after a passage through JSON.

        Raises
        ------
        ValueError
            Something is missing, unknown, or not what it should be.
        """
        def tuples(fields: dict) -> dict:
            return {name: tuple(value) if isinstance(value, list) else value
                    for name, value in fields.items()}

        with untrusted("the recipe"):
            try:
                augmentation = Augmentation(**tuples(values["augmentation"]))
                return cls(**{**tuples(values), "augmentation": augmentation})
            except (KeyError, TypeError, AttributeError, OverflowError) as error:
                raise ValueError(f"the recipe is damaged: {error!r}") from error


class Diverged(ValueError):
    """The loss or the weights are no longer finite."""


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop, and has saved its state if it has a folder."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


class Trainer:
    """Train a model; with a folder, save, log and draw on the way.

    ``run`` takes the steps; ``model`` is trained in place.

    Parameters
    ----------
    model : FCN
    data : sequence of Sample
        With ``class_names`` and ``ignore``, as ``minifcn.data.open_dataset`` returns.
    recipe : Recipe
    validation : sequence of Sample, optional
        Evaluated every ``recipe.evaluate_every`` steps and at the end.
    folder : path, optional
        Gets ``last.safetensors`` (the state of the run), ``best.safetensors`` (the model with the
        best mean IU), ``log.csv``, ``validation.csv`` and ``curves.png``.
    state : RunState, optional
        Of the checkpoint from which ``model`` was loaded: the run continues there.
    source : dict, optional
        Kept in the checkpoint, for the caller to find the data again.
    say : function of a line, optional
        Told about epochs and evaluations. Without it there is no progress bar either.
    title : str
        Of the progress bar.
    tensorboard : bool
        Also write the logs as TensorBoard's event files, into ``tensorboard`` in the folder.

    Attributes
    ----------
    progress : Progress
    metrics : Metrics or None
        Of the last evaluation in this process.
    losses : list of float
        Of the steps in this process.

    Raises
    ------
    ValueError
        If model and data, or state and data, do not fit each other.

    Examples
    --------
    >>> import minifcn
    >>> from minifcn.data import Shapes
    >>> data = Shapes(8, (32, 32))
    >>> model = minifcn.FCN(32, len(data.class_names), width=0.03)
    >>> trainer = Trainer(model, data, Recipe(steps=2, batch=4, rate=1e-2))
    >>> trainer.run()
    >>> len(trainer.losses), trainer.progress.step
    (2, 2)
    """

    def __init__(self, model, data: Sequence[Sample], recipe: Recipe,
                 validation: Sequence[Sample] | None = None, folder: str | Path | None = None,
                 state: RunState | None = None, source: dict | None = None,
                 say: Callable[[str], None] | None = None, title: str = "training",
                 tensorboard: bool = False):
        for each in (data, validation):
            if each is not None:
                check_classes(model, each)
        if not 1 <= len(data) <= MOST_IMAGES:
            raise ValueError(f"a data set to train on has 1 to {MOST_IMAGES:,} images, not "
                             f"{len(data):,}")
        if recipe.class_weights is not None and len(recipe.class_weights) != model.classes:
            raise ValueError(f"the model has {model.classes} classes, the recipe "
                             f"{len(recipe.class_weights)} class weights")
        self.model, self.data, self.recipe, self.validation = model, data, recipe, validation
        self.folder = None if folder is None else Path(folder)
        self.say, self.title = say, title
        self._event_writer = event_writer() if tensorboard else None
        self.source = {**(source or {}), "images": len(data)}
        self.images = recipe.batch * recipe.accumulate      # of a step
        self._epoch = math.ceil(len(data) / self.images)    # in steps
        self.every = recipe.evaluate_every or self._epoch
        self.optimizer = _optimizer(model, recipe)
        self.class_weights = (None if recipe.class_weights is None
                              else np.array(recipe.class_weights, model.dtype))
        self.progress = Progress() if state is None else replace(state.progress)
        self.metrics: Metrics | None = None
        self.losses: list[float] = []
        self._told = 0          # losses that are part of a line already
        self._new = state is None
        self._saved: tuple[int, int] | None = None      # step and evaluation of the checkpoint
        self._saved_at = time.monotonic()
        self._signal: int | None = None
        if state is not None:
            if state.source["images"] != len(data):
                raise ValueError(f"the run was trained on {state.source['images']} images, "
                                 f"but the data set has {len(data)} now")
            self.optimizer.restore(state.optimizer)
            self._saved = (self.progress.step, self.progress.evaluated)

    # -- the loop ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the last step of the recipe.

        Raises
        ------
        Diverged
            If loss, gradients or weights are not finite; the last checkpoint stays as it is.
        Interrupted
            After SIGINT or SIGTERM, when the state is saved.
        OSError
            If a file cannot be written; the last checkpoint stays as it is.
        """
        with self._open_folder(), self._interruptible(), self._bar() as bar:
            upcoming = None
            while True:
                if self._evaluation_is_due():
                    self._evaluate()
                    self._save()
                elif time.monotonic() - self._saved_at > SAVE_SECONDS:
                    self._save()
                if self._signal is not None:
                    self._save()
                    raise Interrupted(f"stopped after step {self.progress.step} of "
                                      f"{self.recipe.steps}", self._signal)
                if self.done:
                    break
                step = self.progress.step
                try:
                    samples = self._wait(upcoming or in_background(self.samples, step))
                except (ValueError, OSError):       # of a file: correct it, and resume here
                    self._save()
                    raise
                if samples is None:
                    continue
                upcoming = in_background(self.samples, step + 1) \
                    if step + 1 < self.recipe.steps else None
                loss = self._train(samples)
                if self.progress.step % self._epoch == 0 and not self._evaluation_is_due():
                    self._tell("")
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                bar.update()
        self._save()

    @property
    def done(self) -> bool:
        """Whether all steps are taken, or the run was stopped early."""
        return self.progress.step >= self.recipe.steps or self.stopped_early

    @property
    def finished(self) -> bool:
        """Whether ``run`` has nothing left to do."""
        return self.done and not self._evaluation_is_due()

    @property
    def stopped_early(self) -> bool:
        """Whether so many evaluations as the recipe's patience brought nothing better."""
        return 0 < self.recipe.patience <= self.progress.stale

    def stop(self, signal_number: int = signal.SIGINT) -> None:
        """From any thread: let ``run`` save and stop after the present step."""
        self._signal = signal_number

    def _wait(self, loaded: Future):
        """What is loaded in another thread; None if a signal comes first, whatever hangs there."""
        while self._signal is None:
            wait([loaded], timeout=0.2)     # in short steps, so that a signal is heard
            if loaded.done():
                return loaded.result()
        return None

    def samples(self, step: int) -> list[Sample]:
        """The augmented samples of a step, a function of the seed and the step only."""
        return [self._sample(position)
                for position in range(step * self.images, (step + 1) * self.images)]

    def _sample(self, position: int) -> Sample:
        epoch, place = divmod(position, len(self.data))
        index = shuffled(len(self.data), self.recipe.seed, epoch)[place]
        generator = np.random.default_rng([self.recipe.seed, 1, epoch, place])
        return self.recipe.augmentation.apply(self.data[int(index)], generator, self.data.ignore,
                                              self.model.preprocessing.mean_colour)

    def _train(self, samples: list[Sample]) -> float:
        """One step of the optimizer; the loss before it."""
        step = self.progress.step
        factor = SCHEDULES[self.recipe.schedule](step, self.recipe.steps)
        loss, gradients = self._loss_and_gradients(samples, self.recipe.rate * factor)
        self.optimizer.step(gradients, factor)
        self.progress.step += 1
        self.losses.append(loss)
        if self.folder:
            self._log.add(step + 1, (step + 1) * self.images / len(self.data),
                          self.recipe.rate * factor, loss)
        return loss

    def _loss_and_gradients(self, samples: list[Sample], rate: float):
        """Those of all samples as one batch, which goes through the network in parts."""
        model, recipe = self.model, self.recipe
        batches = [make_batch(samples[first:first + recipe.batch], model.preprocessing,
                              self.data.ignore, model.dtype)
                   for first in range(0, self.images, recipe.batch)]
        divisor = self._divisor(batches)
        loss, gradients = 0.0, None
        for part, (x, labels) in enumerate(batches):
            model.dropout_seed = recipe.seed + self.progress.step * recipe.accumulate + part
            scores = model.forward(x, training=True)
            part_loss, dscores = self._sum_of_losses(scores, labels)
            if not math.isfinite(part_loss):
                raise self._diverged(f"the loss is {part_loss}", rate, [
                    sample.name for sample, *one in
                    zip(samples[part * recipe.batch:], scores[:, None], labels[:, None])
                    if not math.isfinite(self._sum_of_losses(*one)[0])])
            dscores /= divisor
            model.backward(dscores)
            loss += part_loss / divisor
            if len(batches) == 1:
                gradients = model.gradients
            elif gradients is None:
                gradients = {name: gradient.copy() for name, gradient in model.gradients.items()}
            else:
                for name, gradient in model.gradients.items():
                    gradients[name] += gradient
        # Gradients may overflow though the loss did not. Biases are few, and sum up a layer.
        for name in gradients:
            if name.endswith("bias") and not np.isfinite(gradients[name]).all():
                raise self._diverged(f"the gradient of {name} is not finite", rate,
                                     [sample.name for sample in samples])
        return loss, gradients

    def _sum_of_losses(self, scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        return ops.softmax_cross_entropy(scores, labels, self.data.ignore, "sum",
                                         self.class_weights)

    def _divisor(self, batches: list[Batch]) -> float:
        """What turns a sum over all pixels of a step into the reduction of the recipe."""
        if self.recipe.reduction == "sum":
            return 1.0
        if self.recipe.reduction == "sum_per_image":
            return float(self.images)
        valid = np.concatenate([labels[labels != self.data.ignore] for _, labels in batches])
        weight = valid.size if self.class_weights is None else self.class_weights[valid].sum()
        return float(weight) or 1.0

    def _diverged(self, what: str, rate: float, names: list[str]) -> Diverged:
        return Diverged(f"{what} at step {self.progress.step + 1}, image {', '.join(names)}, rate "
                        f"{rate:g}{self._kept()}; try a smaller rate")

    # -- evaluation -------------------------------------------------------------------------------

    def _evaluation_is_due(self) -> bool:
        step = self.progress.step
        return (self.validation is not None and self.progress.evaluated < step
                and (step % self.every == 0 or step >= self.recipe.steps))

    def _evaluate(self) -> None:
        """Evaluate, unless a signal comes in between: then it is done after resuming."""
        confusion = np.zeros((self.model.classes,) * 2, np.int64)
        upcoming = in_background(self.validation.__getitem__, 0)
        for index in range(len(self.validation)):
            sample = self._wait(upcoming)
            if sample is None:
                return
            if index + 1 < len(self.validation):
                upcoming = in_background(self.validation.__getitem__, index + 1)
            confusion += confusion_of(self.model, sample, self.validation.ignore)
        self.metrics = Metrics.from_confusion(confusion, self.data.class_names)
        self.progress.evaluated = self.progress.step
        best = self.progress.best is None or self.metrics.mean_iu > self.progress.best
        if best and math.isfinite(self.metrics.mean_iu):
            self.progress.best = self.metrics.mean_iu
        self.progress.stale = 0 if best else self.progress.stale + 1
        if self.folder:
            self._validation_log.add(self.progress.step, *self.metrics.means(), *self.metrics.iu)
            if best:
                self._write(BEST, lambda path: self.model.save(path, metadata={
                    "step": self.progress.step, "mean_iu": self.metrics.mean_iu}))
            draw_curves(self.folder)
        self._tell(f", mean IU {100 * self.metrics.mean_iu:.2f}, "
                   f"pixel accuracy {100 * self.metrics.pixel_accuracy:.2f}"
                   + (" (best so far)" if best else ""))
        if self.say and self.stopped_early and self.progress.step < self.recipe.steps:
            self.say(f"stopped early: nothing better in {self.progress.stale} evaluations")

    def _tell(self, metrics: str) -> None:
        """A line about the steps since the last one."""
        losses = self.losses[self._told:]
        self._told = len(self.losses)
        if self.say and losses:
            step = self.progress.step
            self.say(f"epoch {step * self.images / len(self.data):.3g}, step {step}: "
                     f"loss {sum(losses) / len(losses):.4f}{metrics}")

    # -- files ------------------------------------------------------------------------------------

    @contextmanager
    def _open_folder(self) -> Iterator[None]:
        """Begin the folder's logs, or continue them; its event files end with the block."""
        if self.folder is None:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with held(self.folder):
            if self._new:
                refuse_run(self.folder)
            elif (self.folder / LAST).exists():
                now = checkpoints.read_progress(self.folder / LAST)
                if now != self.progress:
                    raise ValueError(f"another process has trained the run in {self.folder} to "
                                     f"step {now.step} meanwhile; continue it from there")
            yield from self._continue_logs()

    def _continue_logs(self) -> Iterator[None]:
        for left_behind in self.folder.glob(".*.tmp.*"):        # by a process that was killed
            left_behind.unlink()
        # What was written after the checkpoint does not count. The step tells files of one second
        # apart.
        events = self._event_writer and self._event_writer(
            str(self.folder / "tensorboard"), purge_step=self.progress.step + 1, flush_secs=5,
            filename_suffix=f".{self.progress.step}")
        self._log = Log(self.folder / "log.csv", ("step", "epoch", "rate", "loss"),
                        self.progress.step, events)
        self._validation_log = Log(
            self.folder / "validation.csv",
            ("step", *MEANS, *(f"iu {name}" for name in self.data.class_names)),
            self.progress.evaluated, events)
        self._save()
        try:
            yield
        finally:
            if events:
                events.close()      # waits until its own thread has written everything

    def _save(self) -> None:
        """Write the state of the run, unless that has been done since the last step."""
        now = (self.progress.step, self.progress.evaluated)
        if self.folder is None or self._saved == now:
            return
        for name, array in self.model.parameters.items():
            if not np.isfinite(array.min()) or not np.isfinite(array.max()):
                raise self._diverged(f"{name} is not finite", self.recipe.rate, ["unknown"])
        self._write(LAST, lambda path: checkpoints.save(
            path, self.model, self.optimizer, self.progress, asdict(self.recipe), self.source))
        self._saved, self._saved_at = now, time.monotonic()

    def _write(self, name: str, write: Callable[[Path], None]) -> None:
        path = self.folder / name
        try:
            write(path)
        except OSError as error:
            raise OSError(f"{path} cannot be saved: {error.strerror or error}{self._kept()}"
                          ) from error

    def _kept(self) -> str:
        return f" (the checkpoint of step {self._saved[0]} is kept)" if self._saved else ""

    # -- terminal and signals ---------------------------------------------------------------------

    def _bar(self):
        return progress.bar(desc=f"{self.title}: ", total=self.recipe.steps, unit="step",
                            initial=self.progress.step, quiet=self.say is None, say=self.say)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Note the first SIGINT or SIGTERM; a second one does what it always does."""
        if threading.current_thread() is not threading.main_thread():
            yield       # only the main thread may handle signals
            return

        def note(number, frame):
            self.stop(number)
            signal.signal(number, before[number])

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def in_background(function: Callable, *arguments) -> Future:
    """Call a function in another thread, for which nobody waits when the process ends."""
    future = Future()

    def work():
        try:
            future.set_result(function(*arguments))
        except BaseException as error:      # whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def refuse_run(folder: Path) -> None:
    """Raise ValueError if a folder holds a run that has come further than its first step.

    One that has not, as after a mistake in its options, may be begun anew.
    """
    path = folder / LAST
    if path.exists() and checkpoints.read_progress(path).step > 0:
        raise ValueError(f"{folder} holds a run already; continue it with --resume, or choose "
                         "another folder")


def in_use(folder: Path) -> None:
    """Raise ValueError if another process trains the run in a folder now."""
    if folder.is_dir():
        with held(folder):
            pass


@functools.lru_cache(maxsize=2)
def shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of the images in an epoch."""
    return np.random.default_rng([seed, 0, epoch]).permutation(count)


def check_classes(model, data: Sequence[Sample]) -> None:
    """Raise ValueError if the data set has another number of classes than the model."""
    if len(data.class_names) != model.classes:
        raise ValueError(f"the model has {model.classes} classes, the data set "
                         f"{len(data.class_names)}: {', '.join(data.class_names)}")


def confusion_of(model, sample: Sample, ignore: int) -> np.ndarray:
    """The confusion matrix of the model's prediction of one sample."""
    return confusion_matrix(sample.labels, model.predict(sample.image), model.classes, ignore)


def _optimizer(model, recipe: Recipe) -> SGD | Adam:
    if recipe.optimizer == "sgd":
        return SGD(model.parameters, recipe.rate, recipe.momentum, recipe.decay)
    return Adam(model.parameters, recipe.rate, recipe.momentum, decay=recipe.decay)
