"""The model families that the interop tests build: tiny random models of the real transformers classes.

To add a family, add a row to FAMILIES. `packing` says how its checkpoint stores keys and values, for reference.py,
which shares no code and no data with qcqa on purpose.
"""

import dataclasses
import json
import pathlib

import torch
import transformers

LAYERS = 3
HIDDEN = 64
QUERY_HEADS = 8
VOCABULARY = 96


# Layers without attention heads among those with them, and the sizes of what they have instead.
HYBRID = {"layer_types": ["full_attention", "linear_attention", "full_attention"], "linear_key_head_dim": 8,
          "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 24}


@dataclasses.dataclass(frozen=True)
class Family:
    name: str  # model_type in config.json
    packing: str = "split"  # split | concatenated (q, k, v rows one after another) | interleaved (per KV head its q, k, v)
    # | parts (concatenated q, v, k of each quarter of the heads) | transposed (concatenated, and matrices are stored as their transposes)
    config: dict = dataclasses.field(default_factory=dict)  # beyond what every family gets
    grouped: bool = True  # the class has a key for KV heads
    kv_heads_key: str = "num_key_value_heads"
    caches_all: bool = False  # the class keeps keys and values once for each query head
    experts: bool = False  # in some layers: only the class itself puts them together from a checkpoint's tensors
    renamed: bool = False  # the names of its tensors are known to its own class only
    runs: bool = True  # not only converted
    query_heads: str = "free"  # numbers that the class takes: free | divisors (of the hidden size) | fixed (hidden size / head_dim)
    prefix: str = "model.layers.{layer}.self_attn."

    @property
    def has_other_layers(self):
        """Some without heads."""
        return any(kind in ("conv", "linear_attention") for kind in self.config.get("layer_types", ()))


FAMILIES = [
    Family("llama", config={"attention_bias": True}, query_heads="divisors"),
    Family("mistral"),
    Family("ministral", config={"sliding_window": 9, "head_dim": 8, "layer_types": [
        "full_attention", "sliding_attention", "full_attention"]}),
    Family("qwen2", query_heads="divisors"),
    Family("phi3", packing="concatenated", config={"pad_token_id": 0}),
    Family("gpt_neox", packing="interleaved", grouped=False, prefix="gpt_neox.layers.{layer}.attention.",
           config={"rotary_pct": 0.5}),
    Family("qwen3", config={"head_dim": 8}),
    Family("gemma", config={"head_dim": 8}),
    Family("starcoder2"),
    Family("stablelm", config={"partial_rotary_factor": 0.5, "use_qkv_bias": True}, query_heads="fixed"),
    Family("phi", config={"partial_rotary_factor": 0.5}),
    Family("granite"),
    Family("gemma2", config={"head_dim": 8, "query_pre_attn_scalar": 8}, query_heads="divisors"),
    Family("mixtral", experts=True, config={"num_local_experts": 3, "num_experts_per_tok": 2}),
    Family("arcee", config={"attention_bias": True, "mlp_bias": True}, query_heads="divisors"),
    Family("seed_oss", config={"head_dim": 8, "attention_out_bias": True, "mlp_bias": True}),
    Family("ernie4_5", config={"head_dim": 8, "use_bias": True}),
    Family("helium", config={"head_dim": 8, "attention_bias": True, "mlp_bias": True}, query_heads="fixed"),
    Family("hunyuan_v1_dense", config={"head_dim": 8, "attention_bias": True}),
    Family("exaone4", config={"sliding_window": 9, "sliding_window_pattern": 2}),
    Family("smollm3", config={"attention_bias": True, "mlp_bias": True, "pad_token_id": 0, "use_sliding_window": True,
                              "sliding_window": 9, "no_rope_layers": [1, 0, 0], "layer_types": [
                                  "full_attention", "sliding_attention", "full_attention"]}),
    Family("nemotron", config={"attention_bias": True, "mlp_bias": True}),
    Family("jais2", query_heads="divisors"),
    Family("glm", config={"head_dim": 8, "pad_token_id": 0}),
    Family("glm4", config={"head_dim": 8, "pad_token_id": 0}),
    Family("olmo", config={"attention_bias": True, "clip_qkv": 0.8}),
    Family("olmo2", config={"attention_bias": True}, query_heads="fixed"),
    Family("olmo3", query_heads="fixed", config={
        "attention_bias": True, "sliding_window": 9, "layer_types": [
            "sliding_attention", "full_attention", "sliding_attention"], "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
                "full_attention": {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0,
                                   "original_max_position_embeddings": 16}}}),
    Family("gemma3_text", query_heads="divisors", config={
        "head_dim": 8, "query_pre_attn_scalar": 12, "attention_bias": True, "final_logit_softcapping": 20.0,
        "sliding_window": 9, "sliding_window_pattern": 2, "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
            "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0}}}),
    Family("internlm3", config={"head_dim": 8, "attention_bias": True, "mlp_bias": True}, query_heads="divisors"),
    Family("cohere", config={"attention_bias": True, "use_qk_norm": True, "logit_scale": 0.4}),
    Family("cohere2", config={"attention_bias": True, "logit_scale": 0.4, "sliding_window": 9, "layer_types": [
        "sliding_attention", "full_attention", "sliding_attention"]}),
    Family("exaone", config={"attention_bias": True, "mlp_bias": True}, prefix="transformer.h.{layer}.attn.attention.",
           query_heads="divisors", renamed=True),
    Family("iquestcoder", config={"head_dim": 8, "attention_bias": True}, query_heads="divisors"),
    Family("hyperclovax", query_heads="divisors", config={
        "attention_bias": True, "attention_multiplier": 0.35, "residual_multiplier": 0.6, "embedding_multiplier": 2.0,
        "logits_scaling": 0.7}),
    Family("vaultgemma", query_heads="divisors", config={
        "head_dim": 8, "query_pre_attn_scalar": 8, "attention_bias": True, "sliding_window": 9}),
    Family("cwm", query_heads="divisors", config={"head_dim": 8, "sliding_window": 9, "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}}),
    Family("ministral3", config={"head_dim": 8, "sliding_window": 9, "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 500.0, "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0,
        "mscale_all_dim": 1.0, "original_max_position_embeddings": 8, "llama_4_scaling_beta": 0.5}}),
    Family("apertus", config={"attention_bias": True, "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}}),
    Family("gpt_oss", config={
        "head_dim": 8, "sliding_window": 9, "num_local_experts": 4, "num_experts_per_tok": 2, "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "beta_fast": 32.0, "beta_slow": 1.0,
            "truncate": False, "original_max_position_embeddings": 16}}),
    Family("qwen3_next", experts=True, config={"head_dim": 8, "attention_bias": True, **HYBRID, **MIXTURE}),
    Family("qwen3_5_text", config={"head_dim": 8, **HYBRID}),
    Family("qwen3_5_moe_text", experts=True, config={"head_dim": 8, **HYBRID, **MIXTURE}),
    Family("lfm2", query_heads="fixed", config={"layer_types": ["full_attention", "conv", "full_attention"]}),
    Family("bloom", packing="interleaved", grouped=False, prefix="transformer.h.{layer}.self_attention."),
    Family("mpt", packing="concatenated", grouped=False, prefix="transformer.blocks.{layer}.attn.",
           config={"max_seq_len": 64, "attn_config": {"clip_qkv": 0.8}}),
    Family("persimmon", packing="interleaved", grouped=False),
    Family("opt", grouped=False, prefix="model.decoder.layers.{layer}.self_attn.",
           config={"ffn_dim": 80, "enable_bias": True}),
    Family("biogpt", grouped=False, prefix="biogpt.layers.{layer}.self_attn."),
    Family("gptj", grouped=False, prefix="transformer.h.{layer}.attn.", config={"n_inner": 80, "rotary_dim": 4}),
    Family("gpt2", packing="transposed", grouped=False, prefix="transformer.h.{layer}.attn.", config={"n_inner": 80}),
    Family("gpt_neo", grouped=False, prefix="transformer.h.{layer}.attn.attention.", config={
        "num_layers": LAYERS, "window_size": 9, "attention_types": [[["global", "local"], 1], [["local"], 1]]}),
    Family("codegen", packing="parts", grouped=False, prefix="transformer.h.{layer}.attn.",
           config={"n_inner": 80, "rotary_dim": 4}),
    Family("gpt_bigcode", packing="interleaved", grouped=False, prefix="transformer.h.{layer}.attn.",
           config={"n_inner": 80, "multi_query": False}),
    Family("falcon", packing="interleaved", query_heads="fixed", prefix="transformer.h.{layer}.self_attention.",
           kv_heads_key="num_kv_heads", caches_all=True,
           config={"new_decoder_architecture": True, "bias": True, "ffn_hidden_size": 80}),
    Family("qwen3_moe", experts=True, config={
        "head_dim": 8, "attention_bias": True, "use_sliding_window": True, "sliding_window": 9, "num_experts": 4,
        "num_experts_per_tok": 2, "moe_intermediate_size": 48, "norm_topk_prob": True, "mlp_only_layers": [1]}),
    Family("qwen2_moe", experts=True, config={
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "shared_expert_intermediate_size": 56,
        "decoder_sparse_step": 2}),
    Family("granitemoe", experts=True, config={
        "attention_bias": True, "attention_multiplier": 0.35, "residual_multiplier": 0.6, "embedding_multiplier": 2.0,
        "logits_scaling": 1.5, "num_local_experts": 4}),
    Family("olmoe", experts=True, query_heads="fixed", config={
        "attention_bias": True, "clip_qkv": 0.8, "num_experts": 4, "num_experts_per_tok": 3}),
    Family("glm4_moe", experts=True, config={
        "head_dim": 8, "attention_bias": True, "use_qk_norm": True, "n_routed_experts": 8, "num_experts_per_tok": 3,
        "moe_intermediate_size": 24, "n_shared_experts": 2, "n_group": 4, "topk_group": 2, "routed_scaling_factor": 1.5,
        "first_k_dense_replace": 1, "pad_token_id": 0}),
    Family("granitemoeshared", experts=True, config={
        "attention_bias": True, "attention_multiplier": 0.35, "residual_multiplier": 0.6, "embedding_multiplier": 2.0,
        "logits_scaling": 1.5, "num_local_experts": 4, "shared_intermediate_size": 48}),
    Family("hunyuan_v1_moe", experts=True, config={
        "head_dim": 8, "attention_bias": True, "num_experts": 4, "moe_topk": 2, "pad_token_id": 0}),
    Family("dots1", experts=True, config={
        "head_dim": 8, "attention_bias": True, "n_routed_experts": 8, "num_experts_per_tok": 3,
        "moe_intermediate_size": 24, "n_shared_experts": 2, "n_group": 4, "topk_group": 2, "norm_topk_prob": True,
        "routed_scaling_factor": 1.5, "first_k_dense_replace": 1, "sliding_window": 9, "max_window_layers": 2}),
    Family("solar_open", experts=True, config={
        "head_dim": 8, "n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 24, "n_group": 4,
        "topk_group": 2, "routed_scaling_factor": 1.5}),
    Family("flex_olmo", experts=True, query_heads="fixed", config={
        "attention_bias": True, "num_experts": 4, "num_experts_per_tok": 3, "pad_token_id": 0}),
    Family("minimax_m2", experts=True, query_heads="fixed", config={
        "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "rotary_dim": 4}),
    Family("phimoe", experts=True, query_heads="fixed", config={
        "attention_bias": True, "lm_head_bias": True, "num_local_experts": 4, "router_jitter_noise": 0.2,
        "sliding_window": 9}),
    Family("ernie4_5_moe", experts=True, query_heads="fixed", config={
        "use_bias": True, "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 24, "moe_num_shared_experts": 2,
        "moe_layer_start_index": 1}),
]


def _falcon(**config):
    """One of Falcon's old architecture, which has no key for KV heads."""
    row = next(f for f in FAMILIES if f.name == "falcon")
    return dataclasses.replace(row, grouped=False, config={"new_decoder_architecture": False, "ffn_hidden_size": 80, **config})


FALCON_RW = _falcon(multi_query=False, parallel_attn=False, alibi=True, bias=True)
FALCON_MHA = _falcon(multi_query=False)
FALCON_MQA = _falcon(multi_query=True)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One model to build: hashable, so that a session builds it once."""

    family: Family
    kv_heads: int = QUERY_HEADS
    dtype: str = "float32"
    storage: str = "safetensors"  # safetensors | sharded-safetensors | bin | sharded-bin
    extra: tuple = ()  # more config entries, as pairs

    def __hash__(self):
        return hash(str(self))

    def __str__(self):
        parts = [self.family.name, f"{QUERY_HEADS}q{self.kv_heads}kv", self.dtype, self.storage]
        if self.family not in FAMILIES:
            parts += [f"{key}={value}" for key, value in self.family.config.items()]
        return "-".join(parts + [f"{key}={value}" for key, value in self.extra])


def family(name):
    return next(f for f in FAMILIES if f.name == name)


def make_config(variant):
    values = {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": 80,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": QUERY_HEADS,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        **variant.family.config,
        **dict(variant.extra),
    }
    if variant.family.grouped:
        values[variant.family.kv_heads_key] = variant.kv_heads
    return transformers.AutoConfig.for_model(variant.family.name, **values)


def make_model(variant, seed=0):
    """Random weights of a size that gives logits of order 1, biases and norms far from their neutral values."""
    model = transformers.AutoModelForCausalLM.from_config(make_config(variant)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                neutral = 0.0 if name.endswith("bias") else 1.0
                parameter.copy_(neutral + 0.3 * noise)
            elif "embed" in name:
                # Tied, the embedding is the output matrix as well.
                parameter.copy_(noise / HIDDEN**0.5 if model.config.tie_word_embeddings else noise)
            else:
                parameter.copy_(noise * 1.2 / parameter.shape[-1] ** 0.5)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
    return model.to(getattr(torch, variant.dtype))


def save_bin(model, folder, shards):
    """As old releases did; the current one writes safetensors only."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return
    names = sorted(state)
    weight_map = {}
    for shard in range(shards):
        file = f"pytorch_model-{shard + 1:05d}-of-{shards:05d}.bin"
        part = names[shard::shards]
        torch.save({name: state[name] for name in part}, folder / file)
        weight_map.update({name: file for name in part})
    size = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2))


def save_tokenizer(folder):
    """A real fast tokenizer with one word per token, and side files that only need to be carried along."""
    import tokenizers

    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"w{i}": i for i in range(3, VOCABULARY)}}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "bos_token": "<s>",
                    "eos_token": "</s>"}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    (folder / "chat_template.jinja").write_text("{{ messages }}\n")
    (folder / "tokenizer.model").write_bytes(bytes(range(256)))


def build(variant, folder: pathlib.Path):
    folder.mkdir(parents=True)
    model = make_model(variant)
    if variant.storage == "safetensors":
        model.save_pretrained(folder)
    elif variant.storage == "sharded-safetensors":
        model.save_pretrained(folder, max_shard_size="60KB")
        assert (folder / "model.safetensors.index.json").exists()
    else:
        model.config.save_pretrained(folder)
        save_bin(model, folder, shards=3 if variant.storage == "sharded-bin" else 1)
    save_tokenizer(folder)
    return folder
