"""safetensors: archspec's own store, and state dicts that others write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from archspec.weights import state_dict, store
from archspec.weights.files import Head, refused
from archspec.weights.foreign import Foreign
from archspec.weights.readers import Format


def sniff(head: Head) -> bool:
    """A length of 8 bytes, then a JSON object."""
    return head.first[8:9] == b"{" and not head.members


def read(path: Path) -> Foreign:
    """The tensors, by name: safetensors keeps no order of layers."""
    arrays, metadata, widened = store.read(path)
    version = metadata.get(store.FORMAT_KEY)
    if version not in (None, store.VERSION):
        raise refused(
            path,
            f"is a store of version {version[:20]}, and this archspec reads {store.VERSION}",
            "use the archspec that wrote it, or a newer one",
        )
    if metadata.get(store.HOLDS_KEY, "weights") != "weights":
        raise refused(
            path,
            "holds what an optimiser remembers and not weights",
            "give the weights.safetensors beside it",
        )
    names = sorted(arrays, key=state_dict.natural)
    tensors, notes = state_dict.tensors({name: arrays[name] for name in names}, widened)
    if version is not None:
        # Its names are canonical as they are, whatever they look like.
        tensors = tuple(replace(t, layer=t.name.rpartition(".")[0]) for t in tensors)
        return Foreign("archspec's store", tensors, "CHW", "RGB", ordered=False, metadata=metadata)
    return Foreign("safetensors", tensors, "CHW", notes=notes, ordered=False, metadata=metadata)


FORMAT = Format("safetensors", (store.SUFFIX,), sniff, read, ("numpy", "safetensors"))
