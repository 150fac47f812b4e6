"""A campaign: its settings, its plan, its stages, and how its rounds follow one another."""
