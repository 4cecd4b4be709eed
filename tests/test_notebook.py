"""The notebook: it runs from top to bottom, shows what it says, and leaves nothing behind."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "experiments" / "notebooks" / "explore.ipynb"
CELL_S = 180


def read():
    nbformat = pytest.importorskip("nbformat", reason="the notebook needs the extra `lab`")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return notebook


def codes(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook, source: str) -> str:
    """What the only cell with `source` in it showed, as text."""
    (cell,) = [cell for cell in codes(notebook) if source in cell.source]
    return "".join(output.get("text") or output.data["text/plain"] for output in cell.outputs)


def pictures(notebook) -> list[bytes]:
    outputs = [output for cell in codes(notebook) for output in cell.outputs if output.output_type == "display_data"]
    return [base64.b64decode(output.data["image/png"]) for output in outputs if "image/png" in output.data]


def test_it_is_kept_as_it_was_run_so_that_it_can_be_read_without_a_kernel():
    notebook = read()
    assert [cell.execution_count for cell in codes(notebook)] == list(range(1, len(codes(notebook)) + 1))
    outputs = [output for cell in codes(notebook) for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"stream", "display_data", "execute_result"}
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert len(pictures(notebook)) == 2


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_it_runs_from_top_to_bottom_and_leaves_nothing_behind(ray_cluster, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="the notebook needs the extra `lab`")
    import nbformat  # noqa: PLC0415
    import ray  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    monkeypatch.setenv("RAY_ADDRESS", ray_cluster)
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):  # nothing of the user's, nothing to it
        monkeypatch.setenv(variable, str(tmp_path / variable))
    notebook = read()
    notebook.cells.append(nbformat.v4.new_code_cell("print(summary.to_json())"))

    nbclient.NotebookClient(
        notebook, timeout=CELL_S, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    summary = json.loads(shown(notebook, "summary.to_json()"))
    assert (summary["peers"], summary["completed"], summary["verified"]) == (6, 5, 5)
    assert summary["failed"] == [{"peer": "peer-05", "why": "died"}]
    (gone,) = [line for line in shown(notebook, "swarm.kill(5)").splitlines() if line.endswith("gone")]
    assert "peer-05" in gone
    assert '"tipo":"PEDIDO"' in shown(notebook, "swarm[3].tell(Pedido(7))")
    asked, answered = shown(notebook, "sender=served[0]").splitlines()
    assert '{"tipo":"PEDIDO"' in asked
    assert '{"tipo":"ESTOQUE","whole":' in answered
    for picture in pictures(notebook):
        image = Image.open(io.BytesIO(picture)).convert("RGB")
        assert min(image.size) > 100
        assert len(image.getcolors(maxcolors=1 << 24)) > 2
    assert len(pictures(notebook)) == 2

    run = summary["run"]
    assert (tmp_path / "runs" / run / "run.json").exists()
    assert not list(Path(tempfile.gettempdir()).glob(f"minibit-{run}*"))
    named = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
    assert not [name for name in named if name.startswith(f"minibit:{run}:")]
