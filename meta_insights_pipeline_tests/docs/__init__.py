"""The documents are kept true: every command, query and program that they show is run, and their static checks are tested."""
