"""The processes that TF_CONFIG names, as one group on TensorFlow."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from archspec.diagnostics import ArchspecError

if TYPE_CHECKING:
    from archspec.backends.base import Array, Doubles


def processes() -> int:
    """How many processes TF_CONFIG names; 1 without it. Raises ArchspecError for a wrong one."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 1
    try:
        cluster = json.loads(text).get("cluster", {})
        return max(1, sum(len(cluster.get(kind, [])) for kind in ("chief", "worker")))
    except (ValueError, AttributeError, TypeError):
        raise ArchspecError(
            'TF_CONFIG is not as TensorFlow takes it: {"cluster": {"worker": ["host:port", ...]}, '
            '"task": {"type": "worker", "index": 0}}'
        ) from None


class TensorFlowGroup:
    """The workers of `tf.distribute.MultiWorkerMirroredStrategy`, each with one device.

    Its collectives are what is used: Keras' own step under this strategy adds the weight decay
    before it adds the gradients up, and fails on the mean of a loss. Must be made before
    TensorFlow computes anything. Raises ArchspecError.
    """

    def __init__(self) -> None:
        self._tf = tf = importlib.import_module("tensorflow")
        try:
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except (RuntimeError, ValueError, tf.errors.OpError) as error:
            raise ArchspecError(
                f"TensorFlow does not find the processes of TF_CONFIG: {_first_line(error)}"
            ) from None
        self.size = processes()
        replicas = self._strategy.num_replicas_in_sync
        if replicas != self.size:
            raise ArchspecError(
                f"TF_CONFIG names {self.size} processes and they see {replicas} devices: let each "
                "see one, with CUDA_VISIBLE_DEVICES"
            )
        resolver = self._strategy.cluster_resolver
        chiefs = len(resolver.cluster_spec().as_dict().get("chief", []))
        self.rank = resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)
        (self._device,) = self._strategy.extended.worker_devices
        # In functions, without which TensorFlow takes milliseconds and warns.
        self._gather = tf.function(self._every, autograph=False)
        self._mean = tf.function(self._means, autograph=False)

    def sum(self, numbers: Array) -> Doubles:
        import numpy as np

        own = self._tf.constant(np.asarray(numbers, "float64")[None])
        (every,) = self._gather([own])
        # In the order of the ranks.
        total: Doubles = every.numpy().sum(axis=0)
        return total

    def any(self, flag: bool) -> bool:
        import numpy as np

        return bool(self.sum(np.array([flag])) > 0)

    def mean(self, tensors: list[Any]) -> list[Any]:
        """The means of tensors over all processes, within a `tf.function` too."""
        found: list[Any] = self._mean(tensors)
        return found

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
        except self._tf.errors.OpError as error:
            raise ArchspecError(
                f"process {self.rank} of {self.size} lost another one ({type(error).__name__}); "
                "its message says why, if it had one; --resume goes on from the last checkpoint"
            ) from None

    def close(self) -> None:
        """Nothing to do: TensorFlow keeps its connections as long as the process lives."""

    def _means(self, tensors: list[Any]) -> list[Any]:
        totals = self._exchange(
            lambda context, own: context.all_reduce("SUM", own), tensors
        )
        return [total / self.size for total in totals]

    def _every(self, tensors: list[Any]) -> list[Any]:
        """The tensors of all processes, one after the other."""
        return self._exchange(
            lambda context, own: context.all_gather(own, axis=0), tensors
        )

    def _exchange(self, collective: Any, tensors: list[Any]) -> list[Any]:
        def exchanged(*own: Any) -> Any:
            # A collective asks where its tensors are, and within a function they are nowhere yet.
            with self._tf.device(self._device):
                placed = [self._tf.identity(tensor) for tensor in own]
            return collective(self._tf.distribute.get_replica_context(), placed)

        found: list[Any] = self._strategy.run(exchanged, args=tuple(tensors))
        return found


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
