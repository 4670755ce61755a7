"""`make run`: the whole portal as one process tree on one machine.

bus, web, worker, controller and beat are children of one supervisor, which restarts what dies and stops all of it
on Ctrl-C. Each child asks the kernel to be killed when the supervisor dies, so that nothing is left behind even
after `kill -9` (on Linux; elsewhere the next start finds the lock free and the old bus by its socket).
"""
