"""Collection Health: turns collector outcomes into service level indicators."""

__version__ = "0.1.0"

__all__ = ["__version__"]
