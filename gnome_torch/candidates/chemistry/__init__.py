"""Elements, their policy, their radii and volumes."""
