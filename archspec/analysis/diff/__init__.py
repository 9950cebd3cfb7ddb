"""What differs between two networks, and what explains each difference of their totals."""

from __future__ import annotations

from archspec.analysis.diff.comparison import Comparison as Comparison
from archspec.analysis.diff.comparison import LayerPair as LayerPair
from archspec.analysis.diff.comparison import Term as Term
from archspec.analysis.diff.matching import compare as compare
