"""What each stage of the loop does; the Firetasks call these."""
