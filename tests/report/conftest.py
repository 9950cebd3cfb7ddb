"""Puts this folder on the path: its tests import `pictures`."""
