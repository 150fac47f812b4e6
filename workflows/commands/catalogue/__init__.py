"""Commands on what was found and what others have computed."""
