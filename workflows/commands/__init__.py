"""The commands of `gnome`, a file a group: each is a few lines over a function that a script can call as well."""
