"""jupyter_kernel_test, Jupyter's own conformance suite, on an aligned kernel."""

import shutil
import tempfile
from pathlib import Path

import jupyter_kernel_test
import pytest
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from labext.kernels.ledger import ledger
from labext.kernels.support import probe

from .test_kernels_aligned import entry_points


@pytest.mark.skipif(not probe().available, reason="this Linux cannot merge")
class TestAlignedKernel(jupyter_kernel_test.KernelTests):  # type: ignore[misc]  # it has no types
    kernel_name = "python3"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [{"text": "zi", "matches": {"zip"}}]  # noqa: RUF012 - the suite's way
    complete_code_samples = ["1", "print(1)"]  # noqa: RUF012
    incomplete_code_samples = ["for i in x:"]  # noqa: RUF012
    invalid_code_samples = ["import = 7q"]  # noqa: RUF012
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = [{"code": "1+2+3", "result": "6"}]  # noqa: RUF012
    code_display_data = [  # noqa: RUF012
        {"code": "from IPython.display import HTML; display(HTML('b'))", "mime": "text/html"}
    ]
    code_history_pattern = "1?2*"
    # "range" of session 0 fails on the stock kernel too: ipykernel answers 0 for its number.
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"

    _patch: pytest.MonkeyPatch
    _folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="conformance-"))
        cls._folder = folder
        cls._patch = pytest.MonkeyPatch()
        cls._patch.syspath_prepend(str(entry_points(folder / "site")))
        cls._patch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", "samepage-provisioner")
        cls._patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        cls._patch.setenv("JUPYTER_DATA_DIR", str(folder / "data"))
        cls._patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        cls._patch.setenv("SAMEPAGE_ALIGNED", "1")
        KernelProvisionerFactory.clear_instance()
        super().setUpClass()
        states = [r.alignment.state for r in ledger.records.values() if r.alignment is not None]
        assert "aligned" in states

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        cls._patch.undo()
        KernelProvisionerFactory.clear_instance()
        KernelProvisionerFactory.provisioners.pop("samepage-provisioner", None)
        shutil.rmtree(cls._folder, ignore_errors=True)
