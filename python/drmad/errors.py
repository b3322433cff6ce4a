"""What drmad raises. A stand-in with the names of the package's own list until that is merged."""


class Error(Exception):
    """Whatever drmad refuses or fails at."""


class ConfigError(Error):
    """What was asked for cannot be: an option, an optimizer, a schedule."""


class DataError(Error):
    """Data that is missing, malformed or cannot be visited again."""


class ModelError(Error):
    """A module or a loss that cannot be tuned as it stands."""
