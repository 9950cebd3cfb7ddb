"""How results are shown: terminal, JSON, CSV, Markdown, progress."""
