"""Commands of researchers for the papers' analyses: figures as PDF and PNG, the numbers behind them as JSON.

Nothing that is written names a patient: a scan is a row of a table, or the one that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triaged.commands.terminal import BAD_CONFIGURATION, AsJson, err, fail, out, print_json, print_table

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.pipeline import Prediction
    from models.predict import LungMasks, TriagePredictor
    from models.volume import Volume
    from training.analyses.attention import Attention, Mask
    from training.analyses.mislabel_figure import Slice
    from training.analyses.mislabels import Entry, Suspect

app = typer.Typer()
analyse = typer.Typer(help="The papers' analyses: what lesions are like, where networks look, whose label is doubtful.")
app.add_typer(analyse, name="analyse")

OutDir = Annotated[Path, typer.Option("--out", help="Figures (PDF, PNG) and numbers (JSON) go here.")]
Study = Annotated[
    Path, typer.Argument(exists=True, help="A scan: NIfTI, MHD or NRRD, or a folder of DICOM of one study.")
]
Lungs = Annotated[str, typer.Option("--lungs", help="Model for the lungs.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:0 ...")]
OfClass = Annotated[str | None, typer.Option("--class", help="For which class; the likeliest where empty.")]
SHOWN = 6  # suspects whose slices are drawn


@analyse.command()
def lesions(
    library: Annotated[Path, typer.Argument(help="A library (phantom --library, data prepare), or one part of it.")],
    out_dir: OutDir,
    as_json: AsJson = False,
) -> None:
    """Compare lesions of COVID-19 and CAP: the four findings of DeepSC-COVID, the paper's figures beside ours."""
    with told():
        from training.analyses import drawing, lesion_figure
        from training.analyses import lesions as findings

        with err.status("") as bar:
            scans, words = findings.scans_of(library, bar.update)
            bar.update("intervals and figure")
            found = findings.findings(scans, words)
            drawing.save(lesion_figure.draw(found), out_dir, "lesions")
        drawing.save_numbers(found.as_json(), out_dir, "lesions")
    if as_json:
        print_json(drawing.plain(found.as_json()))
        return
    print_table(("", "finding", "COVID-19 paper", "ours", "CAP paper", "ours"), found.rows())
    counts = ", ".join(f"{len(some)} scans of {findings.NAMES[kind]}" for kind, some in found.scans.items())
    out.print(f"\n{counts}: {words}. Not the paper's data: not comparable.", highlight=False, markup=False)


@analyse.command()
def features(
    table: Annotated[Path, typer.Argument(help="COVID-MTL's feature table, .csv or .csv.gz.")],
    out_dir: OutDir,
    rank: Annotated[
        bool, typer.Option("--rank", help="Rank the features of each task too; fits LightGBM, minutes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draw COVID-MTL's features: box plots, clustering, two cases; Welch's analysis, and their ranking with --rank."""
    with told():
        from training.analyses import drawing
        from training.analyses import features as analysis
        from training.datasets import ictcf

        with err.status("reading") as bar:
            rows = ictcf.read(table)
            numbers = analysis.numbers(rows)
            if rank:
                numbers["selection"] = analysis.selection(rows, bar.update)
            bar.update("drawing")
            paths = analysis.draw(rows, out_dir)
        paths.append(drawing.save_numbers(numbers, out_dir, "features"))
    if as_json:
        print_json(drawing.plain(numbers))
        return
    if rank:
        chosen = numbers["selection"]
        ranked = [(task, ", ".join(names)) for task, names in chosen["ranking"].items()]
        print_table(("task", "features, the most used first"), ranked)
        words = f"{len(chosen['union'])} different ones, {len(chosen['in both'])} of them among the paper's 24"
        out.print(f"\n{words}", highlight=False)
    print_paths(paths)


@analyse.command()
def cam(
    model: Annotated[str, typer.Argument(help="A bundle of models 9 to 13.")],
    study: Study,
    out_dir: OutDir,
    task: Annotated[str | None, typer.Option(help="Of a network with several: CT, NAT or severity.")] = None,
    of_class: OfClass = None,
    lungs: Lungs = "lungs-unet",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Draw where a volume network of COVID-MTL looks: the class activation map of a scan, as picture and NIfTI."""
    from training.analyses.cam import activation

    with _looked_at(study, model, lungs, device) as seen:
        found = activation(seen.bundle, seen.predictor, seen.volume, seen.masks, task=task, chosen=of_class)
        numbers = {
            **_identity(seen.bundle, lungs),
            "task": found.task,
            "class": found.chosen,
            "probabilities": dict(found.classes),
            "logit": found.logit,
            "logit from places": found.from_places,
            "in the lungs": _share(found.attention, seen.masks.labels > 0),
        }
        title = f"{_called(seen.bundle)}, {found.task}: {found.chosen} ({found.classes[found.chosen]:.2f})"
        paths = _write(seen, [found.attention], title, None, numbers, out_dir, "cam")
    _say(numbers, paths, as_json=as_json)


@analyse.command()
def evidence(
    model: Annotated[str, typer.Argument(help="A bundle of DeepSC-COVID, or of its diagnosis alone.")],
    study: Study,
    out_dir: OutDir,
    of_class: OfClass = None,
    lungs: Lungs = "lungs-unet",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Draw where DeepSC-COVID's diagnosis comes from: the evidence masks of a scan, as picture and NIfTI."""
    from training.analyses.evidence import evidence as masks_of

    with _looked_at(study, model, lungs, device) as seen:
        found = masks_of(seen.bundle, seen.predictor, seen.volume, seen.masks, chosen=of_class)
        whole = found.masks[-1]
        numbers = {
            **_identity(seen.bundle, lungs),
            "class": found.chosen,
            "probabilities": dict(found.classes),
            "logit": found.logit,
            "logit from encoders": list(found.from_places),
            "in the lungs": _share(whole, seen.masks.labels > 0),
            "in the lesions it found": None if found.lesions is None else _share(whole, found.lesions),
        }
        title = f"{_called(seen.bundle)}: {found.chosen} ({found.classes[found.chosen]:.2f})"
        paths = _write(seen, found.masks, title, found.lesions, numbers, out_dir, "evidence")
    _say(numbers, paths, as_json=as_json)


@analyse.command()
def mislabels(
    table: Annotated[Path, typer.Argument(help="CSV: grade (CT-0 to CT-4), and path of the scan or affected_percent.")],
    out_dir: OutDir,
    lungs: Lungs = "lungs-unet",
    model: Annotated[str, typer.Option(help="Model that finds lesions.")] = "ct-triage",
    device: Device = "cpu",
    show: Annotated[int, typer.Option(min=0, help="Draw a slice of so many suspects.")] = SHOWN,
    as_json: AsJson = False,
) -> None:
    """List scans whose visual grade and affected percentage disagree: the mislabel analysis of CT triage.

    What was measured is kept below --out; the same command goes on where it was stopped.
    """
    from models.pipeline import Pipeline
    from models.reading import NotAVolume

    with told():
        from training.analyses import drawing, mislabel_figure
        from training.analyses import mislabels as analysis

        entries = analysis.read_table(table)
        pipeline = Pipeline(lungs, model, device) if any(e.affected is None for e in entries) else None

        def predicted(path: Path) -> Prediction | None:
            try:
                return None if pipeline is None else pipeline.run(_volume(path))
            except NotAVolume:
                return None

        def affected_in(path: Path) -> float | None:
            found = predicted(path)
            return None if found is None or found.severity is None else found.severity.fraction

        models = [] if pipeline is None else [f"{i.name} {i.version} {i.sha256}" for i in pipeline.identities]
        with err.status("") as bar:
            kept = analysis.Kept(out_dir, ", ".join(models))
            scans, failed = analysis.measured(entries, affected_in, kept, bar.update)
            judged = analysis.judge(scans)
            bar.update("drawing")
            title = "as given" if pipeline is None else pipeline.triage_card.name
            paths = drawing.save(mislabel_figure.draw(scans, judged.suspects, title), out_dir, "mislabels")
            slices = list(_slices_of(judged.suspects[:show], entries, predicted))
            if slices:
                paths += drawing.save(mislabel_figure.gallery(slices), out_dir, "mislabelled-slices")
        numbers = {"models": models, "not measured": failed, **judged.as_json()}
        paths.append(drawing.save_numbers(numbers, out_dir, "mislabels"))
    if as_json:
        print_json(drawing.plain(numbers))
        return
    rows = [
        (s.row, s.grade, f"{100 * s.affected:.1f}", s.said, f"{100 * s.distance:+.1f}", f"{s.crossed} of {s.others}")
        for s in judged.suspects
    ]
    print_table(("row", "grade", "affected %", "would be", "from band", "wrong side of"), rows)
    words = f"{len(rows)} of {judged.n} outside their band; rank correlation {judged.rank}; {failed} not measured"
    out.print(f"\n{words}", highlight=False)
    print_paths(paths)


def _slices_of(
    suspects: Iterable[Suspect], entries: Iterable[Entry], predicted: Callable[[Path], Prediction | None]
) -> Iterator[Slice]:
    """The slice of each suspect to be looked at, where his scan is there and a model says where lesions are."""
    from training.analyses import mislabel_figure

    places = {e.row: e.path for e in entries}
    for suspect in suspects:
        place = places[suspect.row]
        found = None if place is None else predicted(place)
        if found is not None and found.lesions is not None:
            yield mislabel_figure.slice_of(suspect, found.volume, found.lesions)


@contextmanager
def told() -> Iterator[None]:
    """What can go wrong, in words and with an exit status."""
    from models.bundle import BundleError
    from models.predict import UnknownModel
    from models.reading import NotAVolume
    from training.datasets.stored import DataError
    from training.errors import TrainingError

    try:
        yield
    except (BundleError, UnknownModel) as error:
        fail(str(error), BAD_CONFIGURATION)
    except NotAVolume as refusal:
        fail(refusal.words)
    except (DataError, TrainingError, ValueError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """A scan, its lungs, and the model that is asked where in it it looks."""

    bundle: Bundle
    predictor: TriagePredictor
    volume: Volume
    masks: LungMasks


@contextmanager
def _looked_at(study: Path, model: str, lungs: str, device: str) -> Iterator[_Seen]:
    """Read one after the other; what can go wrong, then and after that, is told."""
    with told(), err.status("reading") as bar:
        bundle, predictor = _model(model, device)
        volume = _volume(study)
        bar.update("lungs")
        masks = _lungs(lungs, volume, device)
        bar.update(bundle.card.name)
        yield _Seen(bundle=bundle, predictor=predictor, volume=volume, masks=masks)


def _model(name: str, device: str) -> tuple[Bundle, TriagePredictor]:
    from models import zoo
    from models.bundle import load_bundle
    from models.predict import UnknownModel

    architectures = zoo.architectures()
    bundle = load_bundle(zoo.shipped().get(name, Path(name)), architectures, device)
    fill = architectures[bundle.card.architecture].triage
    if fill is None:
        raise UnknownModel(f"{bundle.card.name} cannot fill the role triage")
    return bundle, fill(bundle, device)


def _volume(path: Path) -> Volume:
    """Of a folder, the series that would be analysed. Raises NotAVolume or ValueError."""
    from models.reading import read_dicom_series, read_file
    from triaged.errors import TriagedError
    from triaged.intake.headers import read_headers
    from triaged.intake.selection import select

    if path.is_file():
        return read_file(path)
    files: dict[str, Path] = {}
    headers = []
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        try:
            _, header = read_headers(file)
        except TriagedError:
            continue
        files[header.sop_uid] = file
        headers.append(header)
    selection = select(headers)
    if selection.choice is None:
        raise ValueError(f"no series to analyse: {selection.reason}")
    return read_dicom_series([files[uid] for uid in selection.ranked[0].sop_uids])


def _lungs(name: str, volume: Volume, device: str) -> LungMasks:
    from models.predict import resolve

    masks = resolve(name, "lungs", device).lungs(volume)
    if not masks.labels.any():
        raise ValueError("no lungs found: not a chest, or both lungs opaque")
    return masks


def _identity(bundle: Bundle, lungs: str) -> dict[str, Any]:
    card = bundle.card
    return {"model": f"{card.name} {card.version}", "sha256": card.sha256, "synthetic": card.synthetic, "lungs": lungs}


def _called(bundle: Bundle) -> str:
    """A picture says too what its model was trained on."""
    return f"{bundle.card.name} (trained on synthetic data)" if bundle.card.synthetic else bundle.card.name


def _share(found: Attention, mask: Mask) -> dict[str, float]:
    return {"share": found.share(mask), "by chance": found.by_chance(mask)}


def _write(
    seen: _Seen,
    maps: list[Attention] | tuple[Attention, ...],
    title: str,
    marked: Mask | None,
    numbers: dict[str, Any],
    folder: Path,
    stem: str,
) -> list[Path]:
    from training.analyses import attention_figure, drawing
    from training.analyses.attention import save_nifti

    figure = attention_figure.draw(seen.volume, seen.masks.labels > 0, maps, title, marked)
    paths = drawing.save(figure, folder, stem)
    names = [stem] if len(maps) == 1 else [*(f"{stem}-{n}" for n in range(1, len(maps))), stem]
    paths += [save_nifti(m, seen.volume, folder / f"{name}.nii.gz") for m, name in zip(maps, names, strict=True)]
    return [*paths, drawing.save_numbers(numbers, folder, stem)]


def _say(numbers: dict[str, Any], paths: list[Path], *, as_json: bool) -> None:
    from training.analyses.drawing import plain

    if as_json:
        print_json(plain(numbers))
        return
    rows = [(key, _cell(value)) for key, value in numbers.items()]
    print_table(("", ""), rows)
    print_paths(paths)


def _cell(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(v)}" for key, v in value.items())
    if isinstance(value, list):
        return ", ".join(str(_cell(v)) for v in value)
    return f"{value:.3f}" if isinstance(value, float) else value


def print_paths(paths: list[Path]) -> None:
    for path in paths:
        out.print(str(path), highlight=False, markup=False, soft_wrap=True)
