"""The file is not UTF-8 text, or holds characters that YAML does not allow.

A spec is a YAML text file in UTF-8, with or without a byte order mark. The usual causes are an
editor that saved UTF-16 or Latin-1, a binary file under the wrong name (a checkpoint, an
archive), and control characters pasted from a terminal. The place named is that of the first
byte or character that does not fit. In a quoted text, a control character can be written as an
escape such as "\\x07".

References:

    YAML 1.2.2, section 5.1: character set (https://yaml.org/spec/1.2.2/)
"""

from archspec.rules.base import Rule

RULE = Rule("AS002", "not-text", "error")
