"""Stage 4: energies made comparable, the convex hull, and what is stable on it."""
