"""The notebooks: they run from top to bottom, are kept as they were run, and leave nothing behind."""

from __future__ import annotations

import base64
import io
import json
import re
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason="the notebooks need the extra `lab`")
pytest.importorskip("bokeh", reason="the notebooks need the extra `lab`")

import nbformat
from keep_notebooks import FOLDER, IN_PORTUGUESE, codes, paths, read, run

STATIC = {"explore": 1, "rarest_first": 3, "tit_for_tat": 3, "log_n": 3}  # pictures that need no script
SIMULATED = sorted(set(STATIC) - {"explore"})
EVERY = [(folder, name) for folder in (FOLDER, IN_PORTUGUESE) for name in STATIC]
VERBS = re.compile(r"\b[A-Z]{4,}(?:_[A-Z]+)?s?\b")
DATA = re.compile(r"[A-Za-z0-9+/=]{400,}")  # Bokeh itself, packed
MOST_BYTES = 1_200_000


def shown(notebook, source: str) -> str:
    """What the only cell with `source` in it showed, as text."""
    (cell,) = [cell for cell in codes(notebook) if source in cell.source]
    return "".join(output.get("text") or output.data["text/plain"] for output in cell.outputs)


def outputs(notebook):
    return [output for cell in codes(notebook) for output in cell.outputs]


def pictures(notebook) -> list[bytes]:
    found = [output.data for output in outputs(notebook) if output.output_type == "display_data"]
    return [base64.b64decode(data["image/png"]) for data in found if "image/png" in data]


def printed(notebook) -> list[str]:
    return [output.text for output in outputs(notebook) if output.output_type == "stream"]


@pytest.fixture
def nothing_of_the_users(tmp_path, monkeypatch):
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))


def test_there_is_each_of_them_in_both_languages():
    assert [path.stem for path in paths()] == sorted(STATIC)
    assert sorted(path.stem for path in IN_PORTUGUESE.glob("*.ipynb")) == sorted(STATIC)


@pytest.mark.parametrize(("folder", "name"), EVERY)
def test_it_is_kept_as_it_was_run_so_that_it_can_be_read_without_a_kernel(folder: Path, name: str):
    notebook = read(folder / f"{name}.ipynb")
    assert [cell.execution_count for cell in codes(notebook)] == list(range(1, len(codes(notebook)) + 1))
    assert {output.output_type for output in outputs(notebook)} <= {"stream", "display_data", "execute_result"}
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    assert len(pictures(notebook)) == STATIC[name]


@pytest.mark.parametrize(("folder", "name"), EVERY)
def test_what_is_kept_is_small_has_bokeh_once_and_names_no_machine(folder: Path, name: str):
    text = (folder / f"{name}.ipynb").read_text(encoding="utf-8")
    assert len(text) < MOST_BYTES
    assert len(re.findall(r'packed = \\"[^\\]', text)) == 1
    assert re.findall(r"/(?:home|root|tmp|work|usr|Users)/[^\s\"]*", DATA.sub("", text)) == []


@pytest.mark.parametrize("name", STATIC)
def test_in_portuguese_it_has_the_same_code_and_pictures_and_a_text_of_its_own(name: str):
    english, portuguese = (read(folder / f"{name}.ipynb") for folder in (FOLDER, IN_PORTUGUESE))
    assert [cell.cell_type for cell in english.cells] == [cell.cell_type for cell in portuguese.cells]
    for one, other in zip(english.cells, portuguese.cells, strict=True):
        if one.cell_type == "code":
            assert (one.source, one.outputs) == (other.source, other.outputs)
        else:
            assert one.source != other.source
            assert one.source.count("\n#") == other.source.count("\n#")
            assert set(VERBS.findall(one.source)) - {"NAME"} == set(VERBS.findall(other.source)) - {"NOME"}


@pytest.mark.parametrize("name", SIMULATED)
def test_everything_that_a_simulated_one_imports_of_minibit_is_there(name: str):
    source = "\n".join(cell.source for cell in codes(read(FOLDER / f"{name}.ipynb")))
    lines = [line for line in source.splitlines() if line.startswith(("import minibit", "from minibit"))]
    assert lines
    for line in lines:
        exec(line, {})


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", SIMULATED)
def test_a_simulated_one_runs_from_top_to_bottom_and_prints_what_is_kept(name: str, tmp_path, nothing_of_the_users):
    kept = read(FOLDER / f"{name}.ipynb")
    notebook = nbformat.from_dict(json.loads(json.dumps(kept)))
    run(notebook, tmp_path)
    assert printed(notebook) == printed(kept), f"python experiments/keep_notebooks.py {name} keeps what it prints now"
    assert len(pictures(notebook)) == STATIC[name]


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_the_live_one_runs_from_top_to_bottom_and_leaves_nothing_behind(
    ray_cluster, tmp_path, monkeypatch, nothing_of_the_users
):
    import ray  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    monkeypatch.setenv("RAY_ADDRESS", ray_cluster)
    notebook = read(FOLDER / "explore.ipynb")
    notebook.cells.append(nbformat.v4.new_code_cell("print(summary.to_json())"))
    run(notebook, tmp_path)

    summary = json.loads(shown(notebook, "summary.to_json()"))
    assert (summary["peers"], summary["completed"], summary["verified"]) == (6, 5, 5)
    assert summary["failed"] == [{"peer": "peer-05", "why": "died", "node": "127.0.0.1"}]
    assert "; watched for 4 s, and it goes on\n" in shown(notebook, "swarm.watch(timeout=4)")
    watched = shown(notebook, "swarm.watch(timeout=90)")  # drawn many times, in one place
    assert watched.count("peer-01") == 1 and "5 of 6 peers complete, 100 % of the blocks" in watched
    (gone,) = [line for line in shown(notebook, "swarm.kill(5)").splitlines() if line.endswith("gone")]
    assert "peer-05" in gone
    assert '"tipo":"PEDIDO"' in shown(notebook, "swarm[3].tell(Pedido(7))")
    asked, answered = shown(notebook, "sender=served[0]").splitlines()
    assert '{"tipo":"PEDIDO"' in asked
    assert '{"tipo":"ESTOQUE","whole":' in answered
    (picture,) = pictures(notebook)
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    assert min(image.size) > 100
    assert len(image.getcolors(maxcolors=1 << 24)) > 2

    name = summary["run"]
    assert shown(notebook, "swarm.close()").startswith(f"Run {name} (ray): 5 of 6 peers complete in ")
    assert (tmp_path / "runs" / name / "run.json").exists()
    assert not list(Path(tempfile.gettempdir()).glob(f"minibit-{name}*"))
    named = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
    assert not [one for one in named if one.startswith(f"minibit:{name}:")]
