"""The loop as FireWorks workflows: Firetasks, relaxations, the database, the campaign, the command line."""
