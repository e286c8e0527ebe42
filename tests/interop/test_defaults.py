"""What a config.json means here is what the model class of transformers makes of it: every key of every family stated,
left out and null, wherever transformers takes that."""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess

import pytest
import torch
import transformers
from architectures import HYBRID, MIXTURE
from transformers.core_model_loading import revert_weight_conversion

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ACTIVATIONS = {kind[0] if isinstance(kind, tuple) else kind for kind in transformers.activations.ACT2CLS.values()}
POINTS = torch.tensor([-12.0, -3.0, -1.0, -0.25, 0.0, 0.5, 2.0, 11.0])

# Values that no class has as its default, so that a key left out is seen.
COMMON = {"vocab_size": 96, "hidden_size": 256, "intermediate_size": 80, "num_hidden_layers": 3,
          "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 24, "max_position_embeddings": 320,
          "hidden_act": "relu", "rope_theta": 777.0, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TYPES = ["full_attention", "sliding_attention", "sliding_attention"]
ENDS_FULL = ["full_attention", "sliding_attention", "full_attention"]


@dataclasses.dataclass(frozen=True)
class Family:
    """The keys of a family's config.json, and where its class keeps what is compared."""

    config: dict  # beyond COMMON
    names: dict = dataclasses.field(default_factory=dict)  # its own names of COMMON's keys; None: left out
    always: dict = dataclasses.field(default_factory=dict)  # in every config; without, qcqa must refuse
    more: dict = dataclasses.field(default_factory=dict)  # all is compared once more with these changes
    changes: dict = dataclasses.field(default_factory=dict)  # like CHANGES
    refused: tuple = ()  # changes that the class takes and qcqa must refuse
    needs_mask: bool = False  # without one, the class reads the values of tensors that have none here
    layers: str = "layers"  # of the base model
    attention: str = "self_attn"  # of a layer
    norm: str | tuple = "input_layernorm"  # of a layer; or the first of them that it has
    epsilon: float | None = None  # where the norm does not say it
    head: str = "lm_head"  # its name in checkpoints
    grouped: bool = True  # the class reads num_key_value_heads
    kv_heads: str = ""  # where the attention says it, if the config does not
    window: str = ""  # the layers that have it: all | types (by the config's layer_types) | pattern (of GPT-Neo); empty: none
    embedding_root: bool = False  # embeddings are multiplied by the root of the hidden size
    parallel: object = False  # or the key that says it, or a function of the config
    scale: float | None = None  # of the scores, where the attention does not say it
    logit_multiplier: str = ""  # the key of what logits are multiplied by
    softcap: str = ""  # the key of the scores' cap


RMS, LAYER = {"rms_norm_eps": 3e-4}, {"layer_norm_eps": 3e-4}
TIED, NOT_TIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}
BIASES = {"attention_bias": True, "mlp_bias": True}
NO_HEAD_DIM = {"head_dim": None}  # the class's heads fill the hidden size
GPT2_NAMES = {"hidden_size": "n_embd", "intermediate_size": "n_inner", "num_hidden_layers": "n_layer",
              "num_attention_heads": "n_head", "max_position_embeddings": "n_positions",
              "hidden_act": "activation_function"}
GPT2 = {"names": GPT2_NAMES, "grouped": False, "layers": "h", "attention": "attn", "norm": "ln_1"}
CROSS = {"cross-attention": {"add_cross_attention": True}}
UNSCALED = {"unscaled": {"scale_attn_weights": False}}
EXPERTS_IN_SOME = {"experts-in-every-second": {"decoder_sparse_step": 2}, "plain-layers": {"mlp_only_layers": [0, 2]},
                   "no-experts": {"num_experts": 0}}
INTERVAL = {"full-attention-interval": {"layer_types": None, "full_attention_interval": 2}}
BY_TYPE = {  # for classes whose layers with a window have a rotary embedding of their own
    "parameters-by-type": {"rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 99.0},
        "full_attention": {"rope_type": "linear", "rope_theta": 88.0, "factor": 3.0}}},
    "parameters-of-full": {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 3.0}}},
    "parameters-of-sliding": {"rope_parameters": {"sliding_attention": {"rope_type": "default"}}},
    "scaling-of-old-name": {"rope_scaling": {"type": "linear", "factor": 3.0}},
}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 40}
YARN = {"rope_type": "yarn", "factor": 4.0}
FAMILIES = {
    "llama": Family({**RMS, **TIED, **BIASES}),
    "mistral": Family({**RMS, **TIED, "sliding_window": 7}, window="all"),
    "ministral": Family({**RMS, **TIED, "sliding_window": 7, "layer_types": ENDS_FULL}, window="types"),
    "mixtral": Family({**RMS, **TIED, "sliding_window": 7, "num_local_experts": 2}, window="all"),
    "qwen2": Family({**RMS, **TIED, "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
                    window="types"),
    "qwen3": Family({**RMS, **TIED, "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1,
                     "attention_bias": True}, window="types"),
    "gemma": Family({**RMS, **NOT_TIED, "attention_bias": True}, embedding_root=True),
    "gemma2": Family({**RMS, **NOT_TIED, "attention_bias": True, "hidden_activation": "relu",
                      "query_pre_attn_scalar": 9, "sliding_window": 7, "final_logit_softcapping": 4.0,
                      "attn_logit_softcapping": 5.0, "layer_types": ENDS_FULL},
                     window="types", embedding_root=True, softcap="attn_logit_softcapping"),
    "granite": Family({**RMS, **TIED, **BIASES, "embedding_multiplier": 3.0, "logits_scaling": 4.0,
                       "residual_multiplier": 0.5, "attention_multiplier": 0.25}),
    "phi": Family({**LAYER, **TIED, "partial_rotary_factor": 0.75}, parallel=True),
    "phi3": Family({**RMS, **TIED, "partial_rotary_factor": 0.75, "sliding_window": 7,
                    "original_max_position_embeddings": 160}, window="all"),
    "gpt_neox": Family({**LAYER, **TIED, "rotary_pct": 0.5, "rotary_emb_base": 555.0, "attention_bias": False,
                        "use_parallel_residual": False},
                       names=NO_HEAD_DIM, attention="attention", head="embed_out", grouped=False,
                       parallel="use_parallel_residual"),
    "stablelm": Family({**LAYER, **TIED, "partial_rotary_factor": 0.5, "use_qkv_bias": True,
                        "use_parallel_residual": True}, names=NO_HEAD_DIM, parallel="use_parallel_residual"),
    "starcoder2": Family({**NOT_TIED, "norm_epsilon": 3e-4, "use_bias": False, "sliding_window": 7}, window="all"),
    "arcee": Family({**RMS, **TIED, **BIASES}),
    "seed_oss": Family({**RMS, **TIED, "attention_bias": False, "attention_out_bias": True, "mlp_bias": True}),
    "ernie4_5": Family({**RMS, **NOT_TIED, "use_bias": True}),
    # The class reads head_dim, but takes heads that fill the hidden size only.
    "helium": Family({**RMS, **TIED, **BIASES, "head_dim": 16}),
    "hunyuan_v1_dense": Family({**RMS, **TIED, "attention_bias": True}, changes={
        "alpha": {"rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 50.0}}}),
    "exaone4": Family({**RMS, **TIED, "sliding_window": 7, "sliding_window_pattern": 2},
                      norm="post_attention_layernorm", window="types"),
    "smollm3": Family({**RMS, **NOT_TIED, **BIASES, "use_sliding_window": True, "sliding_window": 7,
                       "no_rope_layer_interval": 2}, window="types",
                      changes={"no-rope-layers": {"no_rope_layers": [0, 1, 0]},
                               "no-rope-layers-null": {"no_rope_layers": None}},
                      # The class's masks have a window then, its attention itself has none.
                      refused=("window-off-but-types",)),
    "nemotron": Family({**TIED, **BIASES, "norm_eps": 3e-4, "partial_rotary_factor": 0.75}),
    "jais2": Family({**LAYER, **TIED, "attention_bias": False, "mlp_bias": False}),
    "glm": Family({**RMS, **TIED, "attention_bias": False, "partial_rotary_factor": 0.75}),
    "glm4": Family({**RMS, **TIED, "attention_bias": False, "partial_rotary_factor": 0.75}),
    "olmo": Family({**TIED, "attention_bias": True, "clip_qkv": 0.8}, epsilon=1e-5),
    "olmo2": Family({**RMS, **TIED, "attention_bias": True}, norm="post_attention_layernorm"),
    "olmo3": Family({**RMS, **TIED, "attention_bias": True, "sliding_window": 7}, more={"layer_types": TYPES},
                    changes=BY_TYPE, norm="post_attention_layernorm", window="types"),
    "gemma3_text": Family({**RMS, **NOT_TIED, "attention_bias": True, "hidden_activation": "relu",
                           "query_pre_attn_scalar": 9, "sliding_window": 7, "sliding_window_pattern": 2,
                           "final_logit_softcapping": 4.0, "attn_logit_softcapping": 5.0,
                           "rope_local_base_freq": 555.0},
                          more={"layer_types": TYPES}, changes=BY_TYPE, window="types", embedding_root=True),
    "internlm3": Family({**RMS, **TIED, **BIASES}, changes={"other-names": {"qkv_bias": True, "bias": True}},
                        refused=("other-names", "another's qkv_bias")),
    "cohere": Family({**LAYER, **NOT_TIED, "attention_bias": True, "use_qk_norm": True, "logit_scale": 0.4},
                     parallel=True),
    "cohere2": Family({**LAYER, **NOT_TIED, "attention_bias": True, "logit_scale": 0.4, "sliding_window": 7,
                       "sliding_window_pattern": 2}, window="types", parallel=True),
    "persimmon": Family({**LAYER, **TIED, "partial_rotary_factor": 0.75, "qk_layernorm": False},
                        names=NO_HEAD_DIM, grouped=False),
    "opt": Family({**NOT_TIED, **LAYER, "enable_bias": False},
                  names={"intermediate_size": "ffn_dim", "hidden_act": "activation_function"}, grouped=False,
                  layers="decoder.layers", norm="self_attn_layer_norm",
                  changes={"norms-after": {"do_layer_norm_before": False},
                           "norms-without-weights": {"layer_norm_elementwise_affine": False},
                           "no-final-norm": {"_remove_final_layer_norm": True},
                           "narrow-embedding": {"word_embed_proj_dim": 128},
                           "embedding-as-wide": {"word_embed_proj_dim": 256}},
                  refused=("norms-after", "norms-without-weights", "no-final-norm", "narrow-embedding")),
    "biogpt": Family({**NOT_TIED, **LAYER}, grouped=False, norm="self_attn_layer_norm", embedding_root=True,
                     needs_mask=True,
                     changes={"plain-embedding": {"scale_embedding": False}}, refused=("plain-embedding",)),
    "gptj": Family({**TIED, "layer_norm_epsilon": 3e-4, "rotary_dim": 8}, parallel=True, **GPT2),
    "gpt2": Family({**NOT_TIED, "layer_norm_epsilon": 3e-4}, **GPT2, needs_mask=True,
                   changes={**CROSS, **UNSCALED, "scaled-by-layer": {"scale_attn_by_inverse_layer_idx": True}},
                   refused=("cross-attention", "unscaled", "scaled-by-layer")),
    "gpt_bigcode": Family({**NOT_TIED, "layer_norm_epsilon": 3e-4, "multi_query": False}, **GPT2, needs_mask=True,
                          kv_heads="kv_heads", changes={**CROSS, **UNSCALED, "one": {"multi_query": True}},
                          refused=("cross-attention", "unscaled")),
    "falcon": Family({**NOT_TIED, "layer_norm_epsilon": 3e-4, "bias": True, "new_decoder_architecture": True,
                      "num_ln_in_parallel_attn": 2, "multi_query": False, "parallel_attn": True, "alibi": False},
                     names={"intermediate_size": "ffn_hidden_size", "hidden_act": "activation", "head_dim": None,
                            "num_key_value_heads": "num_kv_heads"},
                     layers="h", attention="self_attention", norm=("ln_attn", "input_layernorm"), kv_heads="num_kv_heads",
                     parallel=lambda config: config.new_decoder_architecture or config.parallel_attn,
                     changes={"one-norm": {"num_ln_in_parallel_attn": 1}, "falling-scores": {"alibi": True},
                              "other-name": {"n_embed": 128},
                              **{f"old-{label}": {"new_decoder_architecture": False, "num_ln_in_parallel_attn": None,
                                                  "num_kv_heads": None, **change}
                                 for label, change in {
                                     "heads": {}, "one": {"multi_query": True}, "one-left-out": {"multi_query": None},
                                     "sequential": {"parallel_attn": False}, "rw": {"parallel_attn": False, "alibi": True},
                                     "sequential-one": {"parallel_attn": False, "multi_query": True}}.items()}}),
    "codegen": Family({**TIED, "layer_norm_epsilon": 3e-4, "rotary_dim": 8}, parallel=True, **GPT2),
    "gpt_neo": Family({**NOT_TIED, "layer_norm_epsilon": 3e-4, "window_size": 7,
                       "attention_types": [[["local", "global"], 1], [["global"], 1]]},
                      names={"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads",
                             "hidden_act": "activation_function"},
                      grouped=False, layers="h", attention="attn.attention", norm="ln_1", window="pattern", scale=1,
                      changes={"no-pattern": {"attention_types": None, "num_layers": 24},
                               "list-beside": {"attention_layers": ["global", "global", "local"]}}),
    "qwen3_moe": Family({**RMS, **TIED, "attention_bias": True, "use_sliding_window": True, "sliding_window": 7,
                         "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48},
                        window="all", changes=EXPERTS_IN_SOME),
    "qwen2_moe": Family({**RMS, **TIED, "qkv_bias": False, "use_sliding_window": False, "sliding_window": 7,
                         "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
                         "shared_expert_intermediate_size": 56}, window="types",
                        changes={**EXPERTS_IN_SOME, "window-on": {"use_sliding_window": True}},
                        refused=("window-on",)),
    "granitemoe": Family({**RMS, **TIED, "attention_bias": True, "embedding_multiplier": 3.0, "logits_scaling": 4.0,
                          "residual_multiplier": 0.5, "attention_multiplier": 0.25, "num_local_experts": 4},
                         # Only some implementations of the class's attention take it.
                         refused=("attention_multiplier null",)),
    "olmoe": Family({**RMS, **TIED, "attention_bias": True, "clip_qkv": 0.5, "num_experts": 4, "num_experts_per_tok": 2},
                    names=NO_HEAD_DIM),
    "glm4_moe": Family({**RMS, **TIED, "attention_bias": True, "use_qk_norm": True, "n_routed_experts": 6,
                        "num_experts_per_tok": 2, "moe_intermediate_size": 24, "n_shared_experts": 2, "n_group": 3,
                        "topk_group": 2, "routed_scaling_factor": 1.5, "first_k_dense_replace": 2,
                        "partial_rotary_factor": 0.25},
                       refused=("nothing",)),  # half of 42 dimensions rotated, which the class makes 22
    "exaone": Family({"layer_norm_epsilon": 3e-4, **TIED, **BIASES}, head="lm_head",
                     names={"num_hidden_layers": "num_layers", "hidden_act": "activation_function"},
                     changes={"names-of-the-class": {"num_hidden_layers": 2, "rms_norm_eps": 2e-3, "hidden_act": "gelu"}}),
    "iquestcoder": Family({**RMS, **TIED, **BIASES}),
    "hyperclovax": Family({**RMS, **TIED, **BIASES, "embedding_multiplier": 3.0, "logits_scaling": 4.0,
                           "residual_multiplier": 0.5, "attention_multiplier": 0.25},
                          logit_multiplier="logits_scaling",
                          changes={"no-post-norm": {"use_post_norm": False}}, refused=("no-post-norm",)),
    "vaultgemma": Family({**RMS, **NOT_TIED, "attention_bias": True, "hidden_activation": "relu",
                          "query_pre_attn_scalar": 9, "sliding_window": 7, "final_logit_softcapping": 4.0,
                          "attn_logit_softcapping": 5.0, "layer_types": ENDS_FULL},
                         window="types", embedding_root=True, softcap="attn_logit_softcapping"),
    "cwm": Family({**RMS, **TIED, "sliding_window": 7}, window="types",
                  always={"rope_parameters": LLAMA3}, refused=("rope_parameters null",)),
    "ministral3": Family({**RMS, **TIED, "sliding_window": 7}, window="all",
                         always={"rope_parameters": {**YARN, "llama_4_scaling_beta": 0.1,
                                                     "original_max_position_embeddings": 40}},
                         refused=("rope_parameters null",)),
    "apertus": Family({**RMS, **TIED, "attention_bias": True}, norm="attention_layernorm", always={"rope_parameters": LLAMA3},
                      refused=("rope_parameters null",)),
    "granitemoeshared": Family({**RMS, **TIED, "attention_bias": True, "embedding_multiplier": 3.0,
                                "logits_scaling": 4.0, "residual_multiplier": 0.5, "attention_multiplier": 0.25,
                                "num_local_experts": 4, "shared_intermediate_size": 48},
                               refused=("attention_multiplier null",)),
    "hunyuan_v1_moe": Family({**RMS, **TIED, "attention_bias": True, "num_experts": 4, "moe_topk": 2}, changes={
        "alpha": {"rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 50.0}}}),
    "dots1": Family({**RMS, **TIED, "attention_bias": True, "n_routed_experts": 6, "num_experts_per_tok": 2,
                     "moe_intermediate_size": 24, "n_shared_experts": 2, "n_group": 3, "topk_group": 2,
                     "routed_scaling_factor": 1.5, "first_k_dense_replace": 2, "sliding_window": 7,
                     "max_window_layers": 1}, window="types"),
    "solar_open": Family({**RMS, **TIED, "attention_bias": True, "n_routed_experts": 6, "num_experts_per_tok": 2,
                          "moe_intermediate_size": 24, "n_shared_experts": 2, "n_group": 3, "topk_group": 2,
                          "routed_scaling_factor": 1.5, "partial_rotary_factor": 0.25}),
    "flex_olmo": Family({**RMS, **TIED, "attention_bias": True, "num_experts": 4, "num_experts_per_tok": 2},
                        names=NO_HEAD_DIM, norm="post_attention_layernorm"),
    "minimax_m2": Family({**RMS, **TIED, "num_local_experts": 4, "num_experts_per_tok": 2, "rotary_dim": 8}),
    "gpt_oss": Family({**RMS, **TIED, "attention_bias": False, "sliding_window": 7, "num_local_experts": 4,
                       "num_experts_per_tok": 2, "swiglu_alpha": 1.2, "swiglu_limit": 0.5}, window="types",
                      always={"rope_parameters": YARN},
                      refused=("rope_parameters null",)),
    "qwen3_next": Family({**RMS, **TIED, **HYBRID, **MIXTURE, "attention_bias": True, "partial_rotary_factor": 0.5},
                         changes=INTERVAL),
    "qwen3_5_text": Family({**RMS, **TIED, **HYBRID, "attention_bias": True, "partial_rotary_factor": 0.5},
                           changes=INTERVAL),
    "qwen3_5_moe_text": Family({**RMS, **TIED, **HYBRID, **MIXTURE, "attention_bias": True,
                                "partial_rotary_factor": 0.5}, changes=INTERVAL),
    "lfm2": Family({"norm_eps": 3e-4, "tie_embedding": False, "layer_types": ["full_attention", "conv", "conv"]},
                   norm="operator_norm", changes={
                       "listed": {"layer_types": None, "full_attn_idxs": [0, 2]},
                       "listed-none": {"layer_types": None, "full_attn_idxs": None}}),
    "bloom": Family({"layer_norm_epsilon": 3e-4, "tie_word_embeddings": False}, names={
        "hidden_size": "n_embed", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
        "max_position_embeddings": "seq_length"}, layers="h", attention="self_attention", grouped=False),
    "mpt": Family({"layer_norm_epsilon": 3e-4, "tie_word_embeddings": False, "attn_config": {"softmax_scale": 0.7}}, names={
        "hidden_size": "d_model", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
        "max_position_embeddings": "max_seq_len"}, layers="blocks", attention="attn", norm="norm_1", grouped=False),
    "phimoe": Family({**RMS, **TIED, "attention_bias": True, "lm_head_bias": True, "num_local_experts": 4,
                      "sliding_window": 7}, window="all"),
    "ernie4_5_moe": Family({**RMS, **NOT_TIED, "use_bias": True, "moe_num_experts": 4, "moe_k": 2,
                            "moe_intermediate_size": 24, "moe_num_shared_experts": 2, "moe_layer_start_index": 1,
                            "moe_layer_end_index": 1, "moe_layer_interval": 1}),
}
# Of families that are converted only.
NOT_DESCRIBED = (".mlp.", ".linear_attn.", ".conv.", ".feed_forward.", "post_attention_layernorm.weight", "ffn_norm.weight",
                 "model.norm.weight", "embedding_norm.weight")
FLAGS = ("attention_bias", "mlp_bias", "use_bias", "use_qkv_bias", "qkv_bias", "attention_out_bias", "use_qk_norm",
         "use_sliding_window")
ALL_ACTIVATIONS = ("llama", "gemma", "gemma2", "gpt2")  # one table here; three of them have other keys

# More changes of the whole config.json, for all families that take them.
CHANGES = {
    "layer-types": {"layer_types": TYPES},
    "layer-types-null": {"layer_types": None},
    "layer-types-old-name": {"layer_types": ["attention", "sliding_attention", "attention"]},
    "no-window": {"sliding_window": None},
    "no-window-all-full": {"sliding_window": None, "layer_types": 3 * ["full_attention"]},
    "window-off": {"use_sliding_window": False},
    "window-off-but-types": {"use_sliding_window": False, "layer_types": TYPES},
    "theta-in-parameters": {"rope_parameters": {"rope_type": "default", "rope_theta": 99.0}},
    "theta-null-in-parameters": {"rope_parameters": {"rope_type": "default", "rope_theta": None}},
    "parameters-without-theta": {"rope_parameters": {"rope_type": "linear", "factor": 3.0}},
    "scaling-before-parameters": {"rope_scaling": {"type": "linear", "factor": 2.0},
                                  "rope_parameters": {"rope_type": "default", "rope_theta": 99.0}},
    "empty-scaling": {"rope_scaling": {}, "rope_parameters": {"rope_type": "default", "rope_theta": 99.0}},
    "share-in-parameters": {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25}},
    "share": {"partial_rotary_factor": 0.25},
    "yarn": {"rope_scaling": {**YARN, "original_max_position_embeddings": 40}},
    "yarn-length-left-out": {"rope_scaling": YARN},
    "yarn-length-beside": {"rope_scaling": {**YARN, "original_max_position_embeddings": 40},
                           "original_max_position_embeddings": 80},
    "llama3-length-left-out": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                                "high_freq_factor": 4.0}},
    "longrope": {"rope_scaling": {"type": "longrope", "short_factor": [1.5] * 6, "long_factor": [2.5] * 6,
                                  "original_max_position_embeddings": 40}, "partial_rotary_factor": 0.5,
                 "head_dim": 24, "hidden_size": 384},
    **{f"act-{name}": {"hidden_act": name, "hidden_activation": name} for name in
       ["gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "gelu_python_tanh",
        "gelu_accurate", "hardswish", "laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2", "relu6",
        "sigmoid", "silu", "sqrtsoftplus", "swish", "tanh"]},
}


@functools.cache
def meta_model(text, runs=True):
    """The model that transformers makes of this config.json, without weights; nothing where it refuses, which may be
    when it `runs` only."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(text)
        try:
            config = transformers.AutoConfig.from_pretrained(folder)
            with torch.device("meta"):
                model = transformers.AutoModelForCausalLM.from_config(config).eval()
                mask = torch.zeros((1, 1, 9, 9)) if FAMILIES[config.model_type].needs_mask else None
                if runs:
                    model(torch.zeros((1, 9), dtype=torch.long), attention_mask=mask)
            return model
        except Exception:  # whatever it is, there is nothing to compare with
            return None


def rotary_facts(base, config):
    """The frequencies and the magnitude of the first layer's rotary embedding."""
    if not hasattr(base, "rotary_emb"):
        return [], 1
    rotary = type(base.rotary_emb)(config)
    if hasattr(rotary, "embed_positions"):  # sines and cosines of every position
        sine, cosine = rotary.embed_positions[1].chunk(2)
        return torch.atan2(sine, cosine).tolist(), 1
    prefix = "" if hasattr(rotary, "inv_freq") else config.layer_types[0] + "_"
    return getattr(rotary, prefix + "inv_freq").tolist(), getattr(rotary, prefix + "attention_scaling")


def tensor_shapes(model, head):
    """By their names in checkpoints; as (outputs, inputs), however they are stored."""
    stored_transposed = {f"{name}.weight" for name, module in model.named_modules()
                         if isinstance(module, transformers.pytorch_utils.Conv1D)}
    buffers = {name: b for name, b in model.named_buffers() if name.endswith("e_score_correction_bias")}
    tensors = revert_weight_conversion(model, {**dict(model.named_parameters()), **buffers})  # experts one by one
    return {name.replace("lm_head", head): list(p.shape)[::-1] if name in stored_transposed else list(p.shape)
            for name, p in tensors.items()}


def facts(model):
    """The same as qcqa_describe prints, read off the modules of transformers."""
    config = model.config
    family = FAMILIES[config.model_type]
    get = functools.partial(getattr, config)
    base = getattr(model, model.base_model_prefix)
    layers = base.get_submodule(family.layers)
    with_heads = next(layer for layer in layers if hasattr(layer, family.attention.split(".")[0]))
    norms = [family.norm] if isinstance(family.norm, str) else family.norm
    attention, norm = with_heads.get_submodule(family.attention), layers[0].get_submodule(next(n for n in norms if hasattr(layers[0], n)))
    activation = next((m for m in layers[0].modules() if type(m) in ACTIVATIONS), None)
    if activation is None or any(True for _ in activation.parameters()):
        activation = None  # is not known, or depends on weights
    windowed = {"": [], "all": range(len(layers)), "types": [
        i for i, kind in enumerate(get("layer_types", None) or []) if kind == "sliding_attention"], "pattern": [
            i for i, kind in enumerate(get("attention_layers", [])) if kind == "local"]}[family.window]
    frequencies, magnitude = rotary_facts(base, config)
    return {
        "kv_heads": getattr(attention, family.kv_heads) if family.kv_heads else
        get("num_key_value_heads" if family.grouped else "num_attention_heads"),
        "head_dim": getattr(attention, "head_dim", None) or attention.head_size,
        "positions": getattr(config, "max_position_embeddings", None),
        "tensors": tensor_shapes(model, family.head),
        "epsilon": getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None) or family.epsilon,
        "embedding_multiplier": config.hidden_size**0.5 if family.embedding_root else get("embedding_multiplier", 1),
        "residual_multiplier": get("residual_multiplier", 1),
        "parallel": bool(family.parallel(config) if callable(family.parallel) else
                         get(family.parallel) if isinstance(family.parallel, str) else family.parallel),
        "frequencies": frequencies,
        "magnitude": magnitude,
        "scale": family.scale or next(
            getattr(attention, name) for name in ("scaling", "inv_norm_factor", "softmax_scale") if hasattr(attention, name)),
        "attention_softcap": (get(family.softcap) if family.softcap else 0) or 0,
        "logit_softcap": get("final_logit_softcapping", 0) or 0,
        "logit_divisor": 1 / get(family.logit_multiplier) if family.logit_multiplier else
        get("logits_scaling", 1) / (get("logit_scale", 1) or 1),
        "windows": [get("window_size" if family.window == "pattern" else "sliding_window") or 0 if i in windowed else 0 for i in range(len(layers))],
        "activation": activation and activation(POINTS).tolist(),
    }


def with_names(family, config):
    """This config under the family's names of keys."""
    return {name: value for key, value in config.items() if (name := family.names.get(key, key))}


def changed_configs(name, stated):
    """Of one config.json: every key left out and null, another family's keys, CHANGES."""
    family = FAMILIES[name]
    yield "stated", stated
    for key in stated.keys() - {"model_type"}:
        yield f"without {key}", {k: v for k, v in stated.items() if k != key}
        yield f"{key} null", {**stated, key: None}
    for key in FLAGS:
        if key not in stated:  # another family's key means nothing
            yield f"another's {key}", {**stated, key: True}
    for label, change in {**CHANGES, **family.changes}.items():
        if label.startswith("act-") and name not in ALL_ACTIVATIONS:
            continue
        yield label, {**stated, **with_names(family, change)}


def configs(name):
    family = FAMILIES[name]
    stated = {"model_type": name, **with_names(family, COMMON), **family.config, **family.always}
    yield "nothing", {"model_type": name, **family.always}
    yield from changed_configs(name, stated)
    if family.more:
        for label, config in changed_configs(name, {**stated, **family.more}):
            yield f"{label} and {', '.join(family.more)}", config


@pytest.fixture(scope="session")
def describe(qcqa):
    program = pathlib.Path(os.environ.get("QCQA_DESCRIBE", qcqa.binary.parent / "tests/model/qcqa_describe"))
    if not program.exists():
        pytest.fail(f"{program}: no such program; configure with QCQA_BUILD_TESTS or set QCQA_DESCRIBE")

    def run(folders):
        done = subprocess.run([str(program), *map(str, folders)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.parametrize("name", FAMILIES)
def test_a_config_means_what_the_class_makes_of_it(describe, tmp_path, name):
    cases = []
    for number, (label, config) in enumerate(configs(name)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        cases.append((label, json.dumps(config), folder))
    family, compared, wrong = FAMILIES[name], set(), []
    must_refuse = {*family.refused, *(f"without {key}" for key in family.always)}
    for (label, text, _), seen in zip(cases, describe([folder for *_, folder in cases]), strict=True):
        model = meta_model(text, runs="error" in seen)  # that takes most of the time, and decides nothing else
        if model is None:
            continue
        compared.add(label)
        if label in must_refuse:
            if "error" not in seen:
                wrong.append(f"{label}: is not refused")
            continue
        if "error" in seen:
            wrong.append(f"{label}: {seen['error']}")
            continue
        right, differs = facts(model), []
        if "epsilon" not in seen:  # a family that is converted only: nothing is said of what is around the attention
            for tensors in (right["tensors"], seen["tensors"]):
                for tensor in [t for t in tensors if any(part in t for part in NOT_DESCRIBED)]:
                    del tensors[tensor]
        for key, value in right.items():
            if value is None or key not in seen:  # of a family that is converted only
                continue
            about = value if isinstance(value, (dict, bool)) else pytest.approx(value, rel=1e-5, abs=1e-6)
            if seen[key] != about:
                differs.append(f"{label}: {key} is {seen[key]}, right {value}")
        if differs and meta_model(text) is not None:
            wrong += differs
    wrong += [f"{label}: the class refuses it as well" for label in must_refuse - compared]
    assert not wrong, "\n".join(w[:600] for w in wrong)
    assert len(compared) > 25  # most of them must be there to compare
