"""The operator's process: settings, checks, election, the parts put together, and its end; and what is left to do after
an uninstall.

Nothing imports this.
"""
