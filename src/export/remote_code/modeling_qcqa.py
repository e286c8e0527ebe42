"""@MODEL_CLASS@ with head counts of its own in every layer, written by qcqa.

Nothing but the sizes of the attention blocks differs: each is the class of transformers, built for the head counts that
config.json states for its layer (query_heads_per_layer, kv_heads_per_layer). So everything that works with
@MODEL_CLASS@ works here: any attention implementation, generation with a KV cache, training. Where the groups of
a layer were of unequal size, some of its query heads are zeros.

Load it with AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True), or serve it with
vllm serve folder --trust-remote-code.
"""

from transformers import MODEL_MAPPING, @MODEL_CLASS@


def heads_per_layer(config):
    """By layer, what its attention is built for. The size of a head is the one before conversion, stated or not."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    counts = zip(getattr(config, "query_heads_per_layer", ()), getattr(config, "kv_heads_per_layer", ()), strict=True)
    return {layer: {"num_attention_heads": query, "num_key_value_heads": kv, "head_dim": head_dim}
            for layer, (query, kv) in enumerate(counts)}


class QcqaConfig(@MODEL_CLASS@.config_class):
    """The configuration of @MODEL_CLASS@; num_attention_heads and num_key_value_heads are those before conversion."""

    model_type = "@MODEL_TYPE@"
    allow_global_per_layer_attribute_access = True  # those before conversion may be read

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        # vLLM sizes the KV cache of each layer by this, before it builds the model.
        self.per_layer_config = heads_per_layer(self) or None


class LayerConfig:
    """The model's configuration as one layer sees it: a view, so that later changes of the model's show."""

    def __init__(self, config, heads):
        self.__dict__.update(heads, _config=config)

    def __getattr__(self, name):
        if name.startswith("__") or name == "_config":  # asked for while a copy is being made
            raise AttributeError(name)
        return getattr(self._config, name)


class HeadsPerLayer:
    config_class = QcqaConfig

    def __init__(self, config):
        # Its work is done: with it, transformers would warn wherever one of the counts before conversion is read.
        config.per_layer_config = None
        super().__init__(config)
        heads = heads_per_layer(config)
        for index, layer in enumerate(self.base_model.@LAYERS@):
            layer.@ATTENTION@ = type(layer.@ATTENTION@)(LayerConfig(config, heads[index]), layer_idx=index)
        self.post_init()


class QcqaModel(HeadsPerLayer, MODEL_MAPPING[@MODEL_CLASS@.config_class]):
    """Without the output matrix: what vLLM builds."""


class QcqaForCausalLM(HeadsPerLayer, @MODEL_CLASS@):
    pass
