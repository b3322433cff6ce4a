"""Export of a torch module with its loss to the library's own graph format (docs/GRAPH.md).

    python -m drmad.export module:function out/"""

from .build import Exported, export_graph

__all__ = ["Exported", "export_graph"]
