"""Options that several commands share: their names, types and words of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastsil.cli.sweep import CLUSTERERS

KOption = Annotated[
    str,
    typer.Option(
        "--k", metavar="K", help="Numbers of clusters: 2:16 (both included), 2:64:2 (every other), or 2,5,10."
    ),
]
MetricOption = Annotated[
    str, typer.Option(metavar="NAME", help="euclidean, cosine, mahalanobis, or any metric of scikit-learn.")
]
MetricsOption = Annotated[
    list[str],
    typer.Option(
        metavar="NAME",
        help="euclidean, cosine, mahalanobis, or any metric of scikit-learn. k-means works in its geometry. "
        "Repeat it to compare several.",
    ),
]
PcaOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="N",
        help="Principal components to keep: a number, a share of the variance such as 0.9, or none. "
        "Repeat it to compare several.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Folder for the results. Default: fastsil-NAME for sweep and demo, none for score.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files in the folder that fastsil did not write.")]
DropOption = Annotated[bool, typer.Option("--drop-missing", help="Leave out rows that have empty or NaN cells.")]
StandardizeOption = Annotated[
    bool,
    typer.Option(
        "--standardize", help="First give every feature mean 0 and variance 1; for features in different units."
    ),
]
TolOption = Annotated[
    float | None,
    typer.Option(metavar="X", help="Estimate scores to within this much, with intervals; much faster on large data."),
]
ExactOption = Annotated[bool, typer.Option("--exact", help="Compute exact scores, even if they take minutes.")]
SeedOption = Annotated[int, typer.Option(metavar="N", help="Seed: the same seed gives the same clusters.")]
RestartsOption = Annotated[int, typer.Option("--n-init", min=1, metavar="N", help="Restarts of k-means for each k.")]
NullOption = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Data sets without clusters to compare with: 19 or more test whether there is structure at all; 0 is no "
        "test.",
    ),
]
StabilityOption = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="Pairs of random parts of the data that are clustered separately and compared."
    ),
]
ClustererOption = Annotated[str, typer.Option(metavar="NAME", help=f"One of: {', '.join(CLUSTERERS)}.")]
ParamOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=VALUES",
        help="Try values of a parameter of --clusterer in place of k: min_cluster_size=5:50:5 or eps=0.5,1,2. Then "
        "--clusterer may also be dbscan, hdbscan, optics or gaussian-mixture.",
    ),
]
DensityOption = Annotated[
    bool, typer.Option("--density", help="With --param: measure DBCV too, which takes clusters of any shape.")
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Resume an interrupted sweep, given the folder of its results."),
]
DaskOption = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="SCHEDULER",
        help="Keep the data in blocks on a Dask cluster: the address of its scheduler, or local for processes on this "
        "machine. FILE is a .npy, .parquet, .arrow, a folder of these two, or a .zarr.",
    ),
]
JobsOption = Annotated[int | None, typer.Option("--n-jobs", "-j", metavar="N", help="Threads (default: all cores).")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
KeyOption = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Array of an .npz, or column of vectors of a .parquet; the same as FILE:KEY."),
]
FeaturesOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="A,B",
        help="Columns of a table that are the features: A,B,C, or a range A:C. Default: all numeric ones.",
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        "--drop",
        metavar="A,B",
        help="Columns of a table to leave out, such as ids; written in the same way.",
    ),
]
HeaderOption = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Whether the first line of a text file names the columns."),
]
SepOption = Annotated[
    str | None, typer.Option(metavar="C", help="Separator of a text: ',', ';', tab or any other character.")
]
DecimalOption = Annotated[str | None, typer.Option(metavar="C", help="Decimal mark of a text: '.' or ','.")]
