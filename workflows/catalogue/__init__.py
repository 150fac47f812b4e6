"""What the database knows: hulls, novelty, the phases that were found, imports, and how to pass them on."""
