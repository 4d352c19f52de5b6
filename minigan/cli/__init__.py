"""minigan.cli: the commands.

Each command is a module with add_arguments(parser) and run(args), and main.py lists all of them.
"""
