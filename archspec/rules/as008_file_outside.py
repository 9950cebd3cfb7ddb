"""A spec extends or imports a file that lies outside its own folder.

A spec is untrusted text, so the files that it may read are bounded: those in its own folder and
in the folders below, with symbolic links followed first. A path that leads out of there, or that
begins at the root of the disk, is refused. When specs of several folders share a file of blocks,
`--root` (in Python `archspec.load(spec, root=...)`) names the folder that holds them all.
"""

from archspec.rules.base import Rule

RULE = Rule("AS008", "file-outside", "error")
