"""Running campaigns.

local.py        workers on this machine, watched, with live progress; worker.py: one of them
control.py      pause, resume, stop
watch.py        a campaign at a glance
doctor.py       what is wrong with the loop, and its repair; lost.py: whose worker is dead
"""
