"""No way into the code of a file that was not written here: such calls are nowhere in the package.

Pickles travel between this program's own processes alone, so few modules may read one.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "vtok"
READS_ITS_OWN_PICKLES = {
    "engine/children.py": "an error that it has just pickled, to see whether it travels",
    "engine/process.py": "answers of a decode worker that it started",
    "engine/worker.py": "orders of the process that started it",
    "executors/devices.py": "messages between the processes of a run",
    "pipelines/inputs/lister.py": "the order of the process that started it",
    "pipelines/inputs/listing.py": "answers of a lister that it started",
}
RUNS_PROGRAMS = {"models/files/torchscript.py": "where --allow-torchscript says so"}
FORBIDDEN_NAMES = {"extractall", "gopen", "unpack_archive", "LOAD_TRUNCATED_IMAGES"}
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "marshal.loads", "shelve.open"}
FORBIDDEN_MODULES = {"webdataset", "tarfile", "dill", "joblib", "cloudpickle"}
MUST_BE = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
}
MUST_NOT_BE_GIVEN = {"trust_remote_code", "shell"}
HOLDS_PILLOW_TO_WHOLE_IMAGES = "io/foreign.py"


def unsafe(source: str, name: str) -> Iterator[str]:
    """Yield what in a module could run, or believe, what a file says.

    Args:
        source: The module.
        name: Its path in the package.
    """
    for node in ast.walk(ast.parse(source)):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {each.name for each in node.names} if isinstance(node, ast.Import) else set()
            modules |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            for module in modules & FORBIDDEN_MODULES:
                yield f"{where}: {module} is imported"
        elif isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_NAMES:
            if (name, node.attr) != (HOLDS_PILLOW_TO_WHOLE_IMAGES, "LOAD_TRUNCATED_IMAGES"):
                yield f"{where}: {node.attr}"
        elif isinstance(node, ast.Call):
            yield from (f"{where}: {problem}" for problem in _unsafe_call(node, name))


def _unsafe_call(node: ast.Call, name: str) -> Iterator[str]:
    called = ast.unparse(node.func)
    given = {each.arg: ast.unparse(each.value) for each in node.keywords if each.arg}
    if called in FORBIDDEN_CALLS:
        yield called
    if called in {"pickle.load", "pickle.loads"} and name not in READS_ITS_OWN_PICKLES:
        yield f"{called} of bytes that may be anyone's"
    if called == "torch.jit.load" and name not in RUNS_PROGRAMS:
        yield called
    if called in MUST_BE:
        keyword, value = MUST_BE[called]
        if given.get(keyword) != str(value):
            yield f"{called} without {keyword}={value}"
    for keyword in MUST_NOT_BE_GIVEN & given.keys():
        if given[keyword] != "False":
            yield f"{called} with {keyword}={given[keyword]}"


def test_no_module_runs_what_a_file_says() -> None:
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > 100
    names = {str(path.relative_to(PACKAGE)): path for path in modules}
    assert {*READS_ITS_OWN_PICKLES, *RUNS_PROGRAMS, HOLDS_PILLOW_TO_WHOLE_IMAGES} <= names.keys()
    found = [each for name, path in names.items() for each in unsafe(path.read_text(), name)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "pickle.loads(data)",
        "tar.extractall(folder)",
        "ImageFile.LOAD_TRUNCATED_IMAGES = True",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "subprocess.run(text, shell=True)",
        "import webdataset as wds",
        "from tarfile import open",
        "torch.jit.load(path)",
        "eval(text)",
    ],
)
def test_it_would_be_seen(source: str) -> None:
    assert list(unsafe(source, "io/somewhere.py"))
