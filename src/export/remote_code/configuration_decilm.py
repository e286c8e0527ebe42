"""Configuration of a checkpoint that vLLM runs with its own class for Nemotron-NAS models (DeciLMForCausalLM).

transformers has no class for model_type "nemotron-nas", so this file stands in for its configuration; written by qcqa.
Serve with --trust-remote-code.
"""

from transformers import LlamaConfig


class Block:
    """{"a": {"b": 1}} as x.a.b, which is how the model class reads it."""

    def __init__(self, **values):
        for key, value in values.items():
            setattr(self, key, Block(**value) if isinstance(value, dict) else value)

    def to_dict(self):
        return {key: value.to_dict() if isinstance(value, Block) else value for key, value in self.__dict__.items()}

    def __repr__(self):
        return repr(self.to_dict())


class DeciLMConfig(LlamaConfig):
    model_type = "nemotron-nas"

    def __post_init__(self, block_configs=None, **kwargs):
        super().__post_init__(**kwargs)
        self.block_configs = [Block(**block) if isinstance(block, dict) else block for block in block_configs or []]

    def validate_architecture(self):
        """Any number of query heads goes with any hidden size: the head size is stated."""

    def to_dict(self):
        values = super().to_dict()
        values["block_configs"] = [block.to_dict() for block in self.block_configs]
        return values
