"""The stages in which a stack goes up or down, by name. Rooms above add theirs in `AppConfig.ready`."""
