"""Where mellea has its plugins, which are left out.

The modules are here because test configurations look into them; every name of theirs says
so when it is used.
"""

from .._left_out import PLUGINS, named

NAMES = dict.fromkeys(
    (
        "HookType",
        "Plugin",
        "PluginMode",
        "PluginResult",
        "PluginSet",
        "PluginViolationError",
        "block",
        "hook",
        "modify",
        "plugin_scope",
        "register",
        "unregister",
    ),
    PLUGINS,
)

__getattr__ = named(__name__, NAMES)
