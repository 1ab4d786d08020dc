"""A daemon beside the PACS that reads chest CTs early and puts the most affected patient first."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("triaged")
except PackageNotFoundError:  # run from a bare clone that was never installed
    __version__ = "0+unknown"
