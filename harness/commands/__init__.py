"""The subcommands of `harness`, one module each, imported when asked for."""
