"""Stopping by SIGTERM, from a cluster at a time limit or from a user, and saving by time: in all processes at the same step."""

import signal
import time

import torch
from accelerate import Accelerator

# Seconds after which processes ask each other whether one received SIGTERM: a cluster kills them half a minute after it.
ASK_S = 5.0


class Stop:
    """Listens for SIGTERM; called after each step, it returns whether any process received it.

    `unsaved_s` is the time since the last `saved`, the same in all processes.
    """

    def __init__(self, accelerator: Accelerator, step: int) -> None:
        """Begin to listen, after so many steps."""
        self._accelerator = accelerator
        self._is_told = False
        self._asked_at, self._ask_again_at, self._asked_when = step, step + 1, time.monotonic()
        self._alone_since, self.unsaved_s = self._asked_when, 0.0
        signal.signal(signal.SIGTERM, self._tell)

    def __call__(self, step: int, waits_anyway: bool) -> bool:
        """Return True if any process received SIGTERM; several ask each other where they wait anyway, and every few seconds."""
        if self._accelerator.num_processes == 1:
            self.unsaved_s = time.monotonic() - self._alone_since
            return self._is_told
        if not waits_anyway and step < self._ask_again_at:
            return False
        mine = [float(self._is_told), time.monotonic() - self._asked_when]
        told = self._accelerator.reduce(torch.tensor(mine, device=self._accelerator.device), reduction="sum")
        stops, seconds = told.tolist()
        # All know the same times, and so ask at the same step.
        steps_a_second = (step - self._asked_at) * self._accelerator.num_processes / seconds
        self.unsaved_s += seconds / self._accelerator.num_processes
        self._asked_at, self._asked_when = step, time.monotonic()
        self._ask_again_at = step + max(1, int(ASK_S * steps_a_second))
        return stops > 0

    def saved(self) -> None:
        """Count the time from here on as not saved."""
        self._alone_since, self.unsaved_s = time.monotonic(), 0.0

    def _tell(self, *_: object) -> None:
        self._is_told = True


def ignore(_: int) -> None:
    """Ignore SIGTERM in a loader (`worker_init_fn`): a cluster signals every process of a job, and loaders must live until all is saved."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
