"""Pictures: the silhouette plot, the distribution of silhouettes, the elbow, silhouettes and stability against k,
several geometries side by side, a map, samples between two clusters.

Functions of arrays that draw into matplotlib Axes and return them; they never show and never save. Colors are of Okabe
and Ito's set, which color-blind readers can distinguish, and no meaning rests on color alone.
"""

from fastsil.report.plots.canvas import new_figure, save_picture
from fastsil.report.plots.curves import (
    draw_stability,
    draw_sweep,
    draw_sweep_elbow,
    draw_sweep_scores,
)
from fastsil.report.plots.gaps import draw_profile_between
from fastsil.report.plots.geometries import draw_geometries, draw_geometry_excess, draw_geometry_scores
from fastsil.report.plots.maps import draw_map, draw_silhouette_map
from fastsil.report.plots.parameters import draw_parameter_sweep
from fastsil.report.plots.silhouettes import (
    describe_silhouettes,
    draw_distribution,
    draw_silhouettes,
    height_for,
)

__all__ = [
    "describe_silhouettes",
    "draw_distribution",
    "draw_geometries",
    "draw_geometry_excess",
    "draw_geometry_scores",
    "draw_map",
    "draw_parameter_sweep",
    "draw_profile_between",
    "draw_silhouette_map",
    "draw_silhouettes",
    "draw_stability",
    "draw_sweep",
    "draw_sweep_elbow",
    "draw_sweep_scores",
    "height_for",
    "new_figure",
    "save_picture",
]
