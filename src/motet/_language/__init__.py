"""What is said to a model: blocks, components, prompts, messages, contexts.

These hold thunks as parts and know which of them are pending; they start nothing and
speak no protocol. Prompt texts are files in ``templates``.
"""
