"""The collections of the database, a file each."""
