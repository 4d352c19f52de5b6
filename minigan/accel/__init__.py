"""minigan.accel: faster forms of the training step, and BLAS and memory settings.

Only the code that trains and the command line import it.
"""
