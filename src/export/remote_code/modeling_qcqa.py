"""@MODEL_CLASS@ with head counts of its own in every layer, written by qcqa.

Nothing but the sizes of the attention blocks differs: each is the class of transformers, built for the head counts that
config.json states for its layer (query_heads_per_layer, kv_heads_per_layer). So everything that works with
@MODEL_CLASS@ works here: any attention implementation, generation with a KV cache, training. Where the groups of
a layer were of unequal size, some of its query heads are zeros.

Load it with AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).
"""

from transformers import @MODEL_CLASS@


class QcqaConfig(@MODEL_CLASS@.config_class):
    """The configuration of @MODEL_CLASS@; num_attention_heads and num_key_value_heads are those before conversion."""

    model_type = "@MODEL_TYPE@"


class LayerConfig:
    """The model's configuration as one layer sees it: a view, so that later changes of the model's show."""

    def __init__(self, config, query_heads, kv_heads):
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.__dict__.update(_config=config, num_attention_heads=query_heads, num_key_value_heads=kv_heads, head_dim=head_dim)

    def __getattr__(self, name):
        if name.startswith("__") or name == "_config":  # asked for while a copy is being made
            raise AttributeError(name)
        return getattr(self._config, name)


class QcqaForCausalLM(@MODEL_CLASS@):
    config_class = QcqaConfig

    def __init__(self, config):
        super().__init__(config)
        heads = zip(config.query_heads_per_layer, config.kv_heads_per_layer, strict=True)
        for index, (layer, (query_heads, kv_heads)) in enumerate(zip(self.@LAYERS@, heads, strict=True)):
            layer.@ATTENTION@ = type(layer.@ATTENTION@)(LayerConfig(config, query_heads, kv_heads), layer_idx=index)
        self.post_init()
