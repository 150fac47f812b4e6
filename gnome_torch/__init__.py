"""Scientific core of gnome-torch: generate, predict, filter, hull, train."""

__version__ = "0.1.0"
