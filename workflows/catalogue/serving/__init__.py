"""What campaigns found, served to every OPTIMADE client (`gnome serve`)."""
