"""What answers must be like, ready-made and to be made."""

from motet import Requirement as Requirement
from motet import ValidationResult as ValidationResult
from motet import default_output_to_bool as default_output_to_bool

from ..._left_out import ADAPTERS, PYTHON, named
from .md import as_markdown_list as as_markdown_list
from .md import is_markdown_list as is_markdown_list
from .md import is_markdown_table as is_markdown_table
from .requirement import LLMaJRequirement as LLMaJRequirement
from .requirement import check as check
from .requirement import req as req
from .requirement import reqify as reqify
from .requirement import requirement_check_to_bool as requirement_check_to_bool
from .requirement import simple_validate as simple_validate
from .tool_reqs import tool_arg_validator as tool_arg_validator
from .tool_reqs import uses_tool as uses_tool

__all__ = [
    "LLMaJRequirement",
    "Requirement",
    "ValidationResult",
    "as_markdown_list",
    "check",
    "default_output_to_bool",
    "is_markdown_list",
    "is_markdown_table",
    "req",
    "reqify",
    "requirement_check_to_bool",
    "simple_validate",
    "tool_arg_validator",
    "uses_tool",
]

__getattr__ = named(
    __name__,
    {
        "ALoraRequirement": ADAPTERS,
        "GroundednessRequirement": ADAPTERS,
        "ImportRestrictions": PYTHON,
        "MatplotlibHeadlessBackend": PYTHON,
        "NoImportRestrictions": PYTHON,
        "OutputSizeLimit": PYTHON,
        "PlotDependenciesAvailable": PYTHON,
        "PlotFileSaved": PYTHON,
        "PythonCodeExtraction": PYTHON,
        "PythonExecutionReq": PYTHON,
        "PythonSyntaxValid": PYTHON,
        "python_code_generation_requirements": PYTHON,
        "python_plotting_requirements": PYTHON,
    },
)
